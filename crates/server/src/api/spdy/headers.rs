//! Headers in frames of SPDY/3.1: names and values, packed by zlib with a dictionary that both ends
//! know, all blocks of a connection as one.
//!
//! Reading is bounded in names, bytes and what unpacks. Writing is only ever of no headers at all,
//! which needs no packing.

use std::{collections::BTreeMap, sync::OnceLock};

use flate2::{Decompress, FlushDecompress, Status};
use thiserror::Error;

/// Names with their values; names are in lower case.
pub(crate) type Headers = BTreeMap<String, String>;

/// Bytes of all headers of a stream, unpacked: a client of Kubernetes sends three of some bytes.
const MOST: usize = 16 << 10;
/// Headers of a stream.
const MOST_NAMES: u32 = 64;

/// What the dictionary's Adler-32 must be, by the specification.
const DICTIONARY: u32 = 0xe3c6_a7c2;

/// Headers that cannot be read.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum HeadersError {
    /// Not packed as they should be.
    #[error("they are not packed as SPDY/3.1 says")]
    Packed,
    /// Too many, or too large.
    #[error("they are larger than {MOST} bytes, or more than {MOST_NAMES}")]
    Large,
    /// Lengths that do not add up, or no text.
    #[error("names and values are not what their lengths say")]
    Malformed,
}

/// The words that header blocks may point into.
fn dictionary() -> &'static [u8] {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut made = Vec::new();
        for word in WORDS.split('|') {
            // They are all short.
            made.extend_from_slice(&u32::try_from(word.len()).unwrap_or_default().to_be_bytes());
            made.extend_from_slice(word.as_bytes());
        }
        made.extend_from_slice(REST.as_bytes());
        made
    })
}

/// Words with their lengths before them.
const WORDS: &str = "options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|accept-language|\
    accept-ranges|age|allow|authorization|cache-control|connection|content-base|content-encoding|content-language|\
    content-length|content-location|content-md5|content-range|content-type|date|etag|expect|expires|from|host|\
    if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|location|max-forwards|pragma|\
    proxy-authenticate|proxy-authorization|range|referer|retry-after|server|te|trailer|transfer-encoding|upgrade|\
    user-agent|vary|via|warning|www-authenticate|method|get|status|200 OK|version|HTTP/1.1|url|public|set-cookie|\
    keep-alive|origin";

/// What follows them, without lengths.
const REST: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
    203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
    403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
    Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
    chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
    text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// Reads header blocks, each in the order in which it came.
pub(crate) struct Reader {
    unpack: Decompress,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { unpack: Decompress::new(true) }
    }

    /// Reads a block.
    pub(crate) fn read(&mut self, block: &[u8]) -> Result<Headers, HeadersError> {
        let mut out = Vec::with_capacity(MOST);
        let mut rest = block;
        while !rest.is_empty() {
            if out.len() == out.capacity() {
                return Err(HeadersError::Large);
            }
            let before = self.unpack.total_in();
            let done = self.unpack.decompress_vec(rest, &mut out, FlushDecompress::Sync);
            let taken = usize::try_from(self.unpack.total_in() - before).map_err(|_| HeadersError::Packed)?;
            rest = rest.get(taken..).ok_or(HeadersError::Packed)?;
            match done {
                Ok(Status::Ok) if taken > 0 => {}
                Err(error) if error.needs_dictionary() == Some(DICTIONARY) => {
                    self.unpack.set_dictionary(dictionary()).map_err(|_| HeadersError::Packed)?;
                }
                Ok(_) | Err(_) => return Err(HeadersError::Packed),
            }
        }
        parse(&out)
    }
}

fn parse(mut bytes: &[u8]) -> Result<Headers, HeadersError> {
    let number = take_number(&mut bytes)?;
    if number > MOST_NAMES {
        return Err(HeadersError::Large);
    }
    let mut headers = Headers::new();
    for _ in 0..number {
        let name = take_text(&mut bytes)?;
        let value = take_text(&mut bytes)?;
        headers.insert(name.to_ascii_lowercase(), value);
    }
    if bytes.is_empty() { Ok(headers) } else { Err(HeadersError::Malformed) }
}

fn take_number(bytes: &mut &[u8]) -> Result<u32, HeadersError> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(HeadersError::Malformed)?;
    *bytes = rest;
    Ok(u32::from_be_bytes(*number))
}

fn take_text(bytes: &mut &[u8]) -> Result<String, HeadersError> {
    let length = usize::try_from(take_number(bytes)?).map_err(|_| HeadersError::Malformed)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or(HeadersError::Malformed)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).map_err(|_| HeadersError::Malformed)
}

/// An empty stored block, as `Z_SYNC_FLUSH` puts it at the end. Without it Go's reader gives what came
/// before all the same, but looks for the next block first, finds none, and can never read again: a
/// client would break off at the second reply.
const FLUSH: [u8; 5] = [0, 0, 0, !0, !0];

/// Writes blocks of no headers.
#[derive(Default)]
pub(crate) struct Writer {
    begun: bool,
}

impl Writer {
    /// A block without headers: the number 0, stored as it is.
    pub(crate) fn none(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.begun, true) {
            // zlib's head: deflate, a window of 32 KiB, with the dictionary.
            out.extend_from_slice(&[0x78, 0xbb]);
            out.extend_from_slice(&DICTIONARY.to_be_bytes());
        }
        // A stored block that is not the last, its length and the complement of that.
        out.extend_from_slice(&[0, 4, 0, !4, !0]);
        out.extend_from_slice(&0_u32.to_be_bytes());
        out.extend_from_slice(&FLUSH);
        out
    }
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::{BufMut as _, Bytes, BytesMut};
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;

    /// Packs as a client does.
    pub(in crate::api::spdy) struct Packer(Compress);

    impl Packer {
        pub(in crate::api::spdy) fn new() -> Self {
            let mut pack = Compress::new(Compression::best(), true);
            assert_eq!(pack.set_dictionary(dictionary()).unwrap(), DICTIONARY);
            Self(pack)
        }

        pub(in crate::api::spdy) fn raw(&mut self, bytes: &[u8]) -> Vec<u8> {
            let mut out = Vec::with_capacity(bytes.len() + 1024);
            self.0.compress_vec(bytes, &mut out, FlushCompress::Sync).unwrap();
            out
        }

        /// The frame that opens a stream.
        pub(in crate::api::spdy) fn open(&mut self, stream: u32, headers: &[(&str, &str)]) -> Bytes {
            let headers = self.pack(headers);
            let mut frame = BytesMut::new();
            frame.put_slice(&[0x80, 3, 0, 1, 0]);
            frame.put_uint(headers.len() as u64 + 10, 3);
            frame.put_u32(stream);
            frame.put_slice(&[0; 6]);
            frame.put_slice(&headers);
            frame.freeze()
        }

        pub(in crate::api::spdy) fn pack(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
            let mut plain = u32::try_from(headers.len()).unwrap().to_be_bytes().to_vec();
            for (name, value) in headers {
                for text in [name, value] {
                    plain.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
                    plain.extend_from_slice(text.as_bytes());
                }
            }
            self.raw(&plain)
        }
    }

    #[test]
    fn the_dictionary_is_the_specifications() {
        assert_eq!(dictionary().len(), 1423);
        // `Packer::new` compares its checksum.
        Packer::new();
    }

    #[test]
    fn blocks_of_a_connection_are_read_in_order() {
        let (mut packer, mut reader) = (Packer::new(), Reader::new());
        for n in 0..50 {
            let id = n.to_string();
            let block = packer.pack(&[("Streamtype", "data"), ("port", "80"), ("requestid", &id)]);
            let headers = reader.read(&block).unwrap();
            assert_eq!((headers["streamtype"].as_str(), &headers["requestid"], headers.len()), ("data", &id, 3));
        }
        assert_eq!(reader.read(&packer.pack(&[])), Ok(Headers::new()));
    }

    #[test]
    fn what_we_write_is_read_by_others() {
        let (mut writer, mut reader) = (Writer::default(), Reader::new());
        for _ in 0..3 {
            let block = writer.none();
            assert_eq!(reader.read(&block), Ok(Headers::new()));
            // As a client's own packer ends its blocks; some readers do not go on without it.
            assert!(block.ends_with(&FLUSH), "{block:x?}");
            assert!(Packer::new().pack(&[]).ends_with(&FLUSH[1..]));
        }
    }

    #[test]
    fn blocks_are_bounded() {
        let many: Vec<(String, &str)> = (0..100).map(|n| (format!("n{n}"), "")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        assert_eq!(Reader::new().read(&Packer::new().pack(&many)), Err(HeadersError::Large));
        // A megabyte of zeros packs into a kilobyte.
        assert_eq!(Reader::new().read(&Packer::new().raw(&vec![0; 1 << 20])), Err(HeadersError::Large));
        assert_eq!(Reader::new().read(&Packer::new().raw(&[0, 0, 0, 1, 0xff, 0, 0, 0])), Err(HeadersError::Malformed));
        assert_eq!(Reader::new().read(b"plain text"), Err(HeadersError::Packed));
        // Another dictionary, or none.
        let mut other = Compress::new(Compression::best(), true);
        let mut out = Vec::with_capacity(1024);
        other.set_dictionary(b"some other words").unwrap();
        other.compress_vec(&[0; 4], &mut out, FlushCompress::Sync).unwrap();
        assert_eq!(Reader::new().read(&out), Err(HeadersError::Packed));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fall(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _outcome = Reader::new().read(&bytes);
            let _outcome = parse(&bytes);
            let _outcome = Reader::new().read(&Packer::new().raw(&bytes));
        }
    }
}
