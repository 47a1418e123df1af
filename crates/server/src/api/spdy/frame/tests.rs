//! Frames as clients send them, whole and in pieces.

use proptest::prelude::*;

use super::{super::headers::tests::Packer, *};

fn syn(packer: &mut Packer, stream: u32, headers: &[(&str, &str)], flags: u8) -> Bytes {
    let mut content = BytesMut::new();
    content.put_u32(stream);
    content.put_slice(&[0; 6]);
    content.put_slice(&packer.pack(headers));
    control(SYN_STREAM, flags, &content)
}

fn all(reader: &mut Reader, bytes: &[u8]) -> Vec<Frame> {
    reader.push(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        frames.push(frame);
    }
    frames
}

#[test]
fn a_clients_frames_are_read() {
    let (mut packer, mut reader) = (Packer::new(), Reader::new());
    let mut bytes = syn(&mut packer, 1, &[("streamtype", "error"), ("port", "80")], 0).to_vec();
    bytes.extend_from_slice(&Writer::data(1, &[], true));
    bytes.extend_from_slice(&syn(&mut packer, 3, &[("streamtype", "data")], FIN));
    bytes.extend_from_slice(&Writer::ping(7));
    // Settings, of which nothing is to be known.
    bytes.extend_from_slice(&control(4, 0, &[0; 12]));
    bytes.extend_from_slice(&Writer::data(3, b"abc", false));
    bytes.extend_from_slice(&Writer::reset(3, Reset::Cancel));
    bytes.extend_from_slice(&Writer::away(3));
    let frames = all(&mut reader, &bytes);
    let [Frame::Open { stream: 1, headers, end: false }, rest @ ..] = frames.as_slice() else { panic!("{frames:?}") };
    assert_eq!((headers["streamtype"].as_str(), headers["port"].as_str()), ("error", "80"));
    let [ended, Frame::Open { stream: 3, end: true, .. }, rest @ ..] = rest else { panic!("{frames:?}") };
    assert_eq!(*ended, Frame::Data { stream: 1, bytes: Bytes::new(), end: true });
    assert_eq!(
        rest,
        [Frame::Ping(7), Frame::Data { stream: 3, bytes: "abc".into(), end: false }, Frame::Reset(3), Frame::Away]
    );
}

#[test]
fn data_comes_on_as_it_arrives() {
    let mut reader = Reader::new();
    let whole = Writer::data(5, &[7; 1000], true);
    assert_eq!(all(&mut reader, &whole[..8]), []);
    assert_eq!(all(&mut reader, &whole[8..500]), [Frame::Data { stream: 5, bytes: vec![7; 492].into(), end: false }]);
    assert_eq!(all(&mut reader, &whole[500..]), [Frame::Data { stream: 5, bytes: vec![7; 508].into(), end: true }]);
    assert!(reader.held.is_empty());
}

#[test]
fn what_is_no_frame_ends_it() {
    let ended = |bytes: &[u8]| {
        let mut reader = Reader::new();
        reader.push(bytes);
        reader.next().unwrap_err()
    };
    assert_eq!(ended(&[0x80, 2, 0, 1, 0, 0, 0, 0]), FrameError::Version(2));
    assert_eq!(ended(&[0x80, 3, 0, 1, 0, 1, 0, 0]), FrameError::Large(65536));
    assert_eq!(ended(&control(SYN_STREAM, 0, &[0; 9])), FrameError::Short(SYN_STREAM));
    assert_eq!(ended(&control(RST_STREAM, 0, &[0; 4])), FrameError::Short(RST_STREAM));
    assert!(matches!(ended(&control(SYN_STREAM, 0, &[0; 20])), FrameError::Headers(_)));
    // A browser that came by mistake.
    assert_eq!(all(&mut Reader::new(), b"GET / HTTP/1.1\r\n").len(), 1);
}

proptest! {
    #[test]
    fn edges_of_pieces_mean_nothing(cuts in prop::collection::vec(1_usize..40, 1..60)) {
        let mut packer = Packer::new();
        let mut bytes = syn(&mut packer, 1, &[("streamtype", "data"), ("port", "80")], 0).to_vec();
        bytes.extend_from_slice(&Writer::data(1, &[9; 300], false));
        bytes.extend_from_slice(&Writer::ping(1));
        bytes.extend_from_slice(&Writer::data(1, b"end", true));
        let mut reader = Reader::new();
        let (mut data, mut opened, mut pinged, mut ended) = (Vec::new(), 0, 0, false);
        let mut rest = bytes.as_slice();
        for cut in cuts.into_iter().cycle() {
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            rest = more;
            for frame in all(&mut reader, piece) {
                match frame {
                    Frame::Open { .. } => opened += 1,
                    Frame::Ping(_) => pinged += 1,
                    Frame::Data { bytes, end, .. } => { data.extend(bytes); ended |= end; }
                    other => panic!("{other:?}"),
                }
            }
            if rest.is_empty() { break; }
        }
        prop_assert_eq!((opened, pinged, ended), (1, 1, true));
        prop_assert_eq!(data, [&[9; 300][..], b"end"].concat());
    }

    #[test]
    fn no_bytes_make_it_fall(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut reader = Reader::new();
        reader.push(&bytes);
        while let Ok(Some(_)) = reader.next() {}
    }
}
