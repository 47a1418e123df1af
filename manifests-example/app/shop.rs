//! The program of the example: a tiny shop, one static file, standard library only.
//!
//! `shop web` and `shop api` answer HTTP on `PORT` (default 8080): `/` is a page, `/healthz` and
//! `/readyz` are for probes. The greeting comes from the environment, prices and key from files,
//! as in applications that people have.
//!
//! Evenkeel's tests use its other words: `shop exit CODE [AFTER_SECONDS]`, `shop hang`,
//! `shop log LINE...`, `shop eat`, `shop probe PORT PATH`, `shop touch FILE`, `shop cat FILE`,
//! `shop get HOST:PORT [PATH]`, `shop ask HOST:PORT` (a datagram), `shop load HOST:PORT REQUESTS_A_SECOND SECONDS [listen]`.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket},
    process::exit,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A process that is the first of its container gets no default action for SIGTERM: without a
/// handler it would be killed only after its grace. The standard library has no handlers, hence
/// these few lines of C interface, the only unsafe code here.
mod stop {
    use std::{
        io::Read,
        os::fd::AsRawFd,
        os::unix::net::UnixStream,
        sync::atomic::{AtomicI32, AtomicUsize, Ordering},
        thread,
        time::{Duration, Instant},
    };

    const SIGTERM: i32 = 15;
    const SIGINT: i32 = 2;

    unsafe extern "C" {
        fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
        fn write(file: i32, bytes: *const u8, count: usize) -> isize;
        fn _exit(code: i32) -> !;
    }

    /// Where a signal is written to by those that end what they have begun.
    static TOLD: AtomicI32 = AtomicI32::new(-1);
    /// Requests under way.
    static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn leave(_: i32) {
        let file = TOLD.load(Ordering::SeqCst);
        // SAFETY: `_exit` and `write` are async-signal-safe; the byte lives for ever, the socket as
        // long as the process.
        unsafe {
            if file < 0 || write(file, b"x".as_ptr(), 1) < 1 {
                _exit(0)
            }
        }
    }

    pub fn at_once() {
        // SAFETY: the handler is a function of the right type that lives for ever.
        unsafe {
            signal(SIGTERM, leave);
            signal(SIGINT, leave);
        }
    }

    /// From now on a signal ends the process when no request has been under way for a moment, or after
    /// five seconds: who has been let in gets an answer.
    pub fn after_the_last_request() {
        let Ok((mut heard, told)) = UnixStream::pair() else { return };
        TOLD.store(told.as_raw_fd(), Ordering::SeqCst);
        thread::spawn(move || {
            let _told = told;
            let _ = heard.read_exact(&mut [0]);
            let (asked, moment) = (Instant::now(), Duration::from_millis(10));
            let mut quiet = 0;
            while quiet < 5 && asked.elapsed() < Duration::from_secs(5) {
                thread::sleep(moment);
                quiet = if UNDER_WAY.load(Ordering::SeqCst) == 0 { quiet + 1 } else { 0 };
            }
            std::process::exit(0)
        });
    }

    /// A request, from its connection to its answer.
    pub struct Request(());

    impl Request {
        pub fn begun() -> Self {
            UNDER_WAY.fetch_add(1, Ordering::SeqCst);
            Self(())
        }
    }

    impl Drop for Request {
        fn drop(&mut self) {
            UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let word = args.first().map_or("web", String::as_str);
    let rest = args.get(1..).unwrap_or_default();
    if word != "stubborn" {
        stop::at_once();
    }
    match word {
        "web" | "api" => serve(word),
        "exit" => {
            let number = |i: usize| rest.get(i).and_then(|a| a.parse::<f64>().ok()).unwrap_or(0.0);
            thread::sleep(Duration::from_secs_f64(number(1)));
            eprintln!("shop: asked to exit with code {}", number(0));
            exit(number(0) as i32)
        }
        "hang" | "stubborn" => wait(),
        "log" => {
            rest.iter().for_each(|line| println!("{line}"));
            wait()
        }
        // Takes memory until someone stops it: for limits.
        "eat" => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(vec![1; 1 << 20]);
                thread::sleep(Duration::from_millis(5));
            }
        }
        "probe" => exit(i32::from(!probe(rest))),
        "touch" => exit(i32::from(rest.first().is_none_or(|f| fs::write(f, b"x").is_err()))),
        "cat" => match rest.first().map(fs::read_to_string) {
            Some(Ok(text)) => print!("{text}"),
            other => {
                eprintln!("shop: {other:?}");
                exit(1)
            }
        },
        "get" => {
            let address = rest.first().map_or("", String::as_str);
            match get(address, rest.get(1).map_or("/", String::as_str)) {
                Ok(body) => print!("{body}"),
                Err(e) => {
                    eprintln!("shop: {address}: {e}");
                    exit(1)
                }
            }
        }
        "ask" => {
            let address = rest.first().map_or("", String::as_str);
            match ask(address) {
                Ok(text) => print!("{text}"),
                Err(e) => {
                    eprintln!("shop: {address}: {e}");
                    exit(1)
                }
            }
        }
        "load" => exit(i32::from(load(rest) > 0)),
        "env" => env::vars().for_each(|(name, value)| println!("{name}={value}")),
        other => {
            eprintln!("shop: unknown word {other}");
            exit(64)
        }
    }
}

fn wait() -> ! {
    loop {
        thread::park();
    }
}

/// Answers HTTP until it is stopped.
fn serve(role: &str) {
    let version = env::var("SHOP_VERSION").unwrap_or_else(|_| "0".into());
    if env::var("SHOP_BROKEN").is_ok() {
        eprintln!("shop {version}: cannot read the price list: unexpected column `discount` in line 1");
        exit(3);
    }
    let port = env::var("PORT").unwrap_or_else(|_| "8080".into());
    let seconds = env::var("READY_AFTER").ok().and_then(|v| v.parse().ok()).unwrap_or(0.0);
    let (started, ready_after) = (Instant::now(), Duration::from_secs_f64(seconds));
    let listener = match TcpListener::bind(format!("0.0.0.0:{port}")) {
        Ok(listener) => listener,
        Err(e) => {
            eprintln!("shop: cannot listen on {port}: {e}");
            exit(1);
        }
    };
    println!("shop {version}: {role} listens on {port}");
    if let Ok(socket) = UdpSocket::bind(format!("0.0.0.0:{port}")) {
        let (role, version) = (role.to_string(), version.clone());
        thread::spawn(move || answer_datagrams(&socket, &role, &version));
    }
    stop::after_the_last_request();
    for stream in listener.incoming().flatten() {
        let request = stop::Request::begun();
        let (role, version) = (role.to_string(), version.clone());
        let ready = started.elapsed() >= ready_after;
        thread::spawn(move || {
            let _request = request;
            answer(stream, &role, &version, ready);
        });
    }
}

fn answer(mut stream: TcpStream, role: &str, version: &str, ready: bool) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let Ok(clone) = stream.try_clone() else { return };
    let mut lines = BufReader::new(clone).lines();
    let Some(Ok(request)) = lines.next() else { return };
    while lines.next().is_some_and(|l| l.is_ok_and(|l| !l.is_empty())) {}
    let path = request.split(' ').nth(1).unwrap_or("/");
    let (status, body) = match path {
        "/healthz" => ("200 OK", "ok\n".to_string()),
        "/readyz" if ready => ("200 OK", "ready\n".to_string()),
        "/readyz" => ("503 Service Unavailable", "not ready yet\n".to_string()),
        "/" => ("200 OK", page(role, version)),
        _ => ("404 Not Found", "nothing here\n".to_string()),
    };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
}

/// Each datagram is answered by the first line of the page.
fn answer_datagrams(socket: &UdpSocket, role: &str, version: &str) {
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let text = format!("Hello from shop {version}, {role} on {}\n", host.trim());
    loop {
        if let Ok((_, from)) = socket.recv_from(&mut [0; 512]) {
            let _ = socket.send_to(text.as_bytes(), from);
        }
    }
}

fn page(role: &str, version: &str) -> String {
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let greeting = env::var("GREETING").unwrap_or_else(|_| "Hello".into());
    let prices = fs::read_to_string("/etc/shop/prices.txt").unwrap_or_else(|_| "no prices\n".into());
    let key = if fs::metadata("/etc/shop-key/key").is_ok() { "there" } else { "missing" };
    let asked = env::var("API").map(|api| match get(&api, "/") {
        Ok(page) => format!("the api says: {}\n", page.lines().next().unwrap_or_default()),
        Err(why) => format!("the api does not answer: {why}\n"),
    });
    let asked = asked.unwrap_or_default();
    format!("{greeting} from shop {version}, {role} on {}\nkey: {key}\n{prices}{asked}", host.trim())
}

/// The body of `http://ADDRESS/PATH`, or why there is none; at most two seconds are waited for each
/// step.
fn get(address: &str, path: &str) -> Result<String, String> {
    let step = Duration::from_secs(2);
    let all: Vec<_> = address.to_socket_addrs().map_err(|e| format!("no address: {e}"))?.collect();
    let mut last = String::from("no address");
    for one in all {
        let mut stream = match TcpStream::connect_timeout(&one, step) {
            Ok(stream) => stream,
            Err(e) => {
                last = format!("{one}: no connection: {e}");
                continue;
            }
        };
        let mut text = String::new();
        stream
            .set_read_timeout(Some(step))
            .and_then(|()| write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
            .and_then(|()| stream.read_to_string(&mut text))
            .map_err(|e| format!("{one}: {e} after {} bytes", text.len()))?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| format!("{one}: closed after {} bytes", text.len()))?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        return if status == "200" { Ok(body.to_string()) } else { Err(format!("{one}: status {status}")) };
    }
    Err(last)
}

/// What a datagram to an address is answered; asked again as resolvers do it, three times.
fn ask(address: &str) -> Result<String, String> {
    let to = address.to_socket_addrs().map_err(|e| format!("no address: {e}"))?.next().ok_or("no address")?;
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(|e| e.to_string())?;
    let said = |e: std::io::Error| e.to_string();
    socket.set_read_timeout(Some(Duration::from_secs(1))).and_then(|()| socket.connect(to)).map_err(said)?;
    let mut last = String::new();
    for _ in 0..3 {
        let mut buffer = [0; 512];
        match socket.send(b"?").and_then(|_| socket.recv(&mut buffer)) {
            Ok(n) => return Ok(String::from_utf8_lossy(&buffer[..n]).into_owned()),
            Err(e) => last = e.to_string(),
        }
    }
    Err(last)
}

/// Asks an address so many times a second for so many seconds, each time by a new connection, and says
/// how many failed and why the first did. With `listen` it ends when its input does.
fn load(rest: &[String]) -> usize {
    let number = |i: usize| rest.get(i).and_then(|a| a.parse::<f64>().ok()).unwrap_or(1.0);
    let (address, rate, seconds) = (rest.first().cloned().unwrap_or_default(), number(1), number(2));
    let begun = Instant::now();
    let most = (rate * seconds) as u32;
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    if rest.get(3).is_some_and(|word| word == "listen") {
        let over = over.clone();
        thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            over.store(true, Ordering::SeqCst);
        });
    }
    let failed: Arc<Mutex<Vec<String>>> = Arc::default();
    // Enough that a slow answer delays nobody.
    let workers = 16;
    let asking = (0..workers).map(|worker| {
        let (address, failed, over, asked) = (address.clone(), failed.clone(), over.clone(), asked.clone());
        thread::spawn(move || {
            for n in (worker..most).step_by(workers as usize) {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                asked.fetch_add(1, Ordering::SeqCst);
                let due = begun + Duration::from_secs_f64(f64::from(n) / rate);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if let Err(e) = get(&address, "/healthz") {
                    let after = begun.elapsed().as_secs_f64();
                    failed.lock().unwrap_or_else(|p| p.into_inner()).push(format!("after {after:.3} s: {e}"));
                }
            }
        })
    });
    for worker in asking.collect::<Vec<_>>() {
        let _ = worker.join();
    }
    let failed = failed.lock().unwrap_or_else(|p| p.into_inner());
    println!("{} requests, {} failed", asked.load(Ordering::SeqCst), failed.len());
    failed.iter().take(10).for_each(|f| println!("{f}"));
    failed.last().iter().for_each(|f| println!("the last {f}"));
    failed.len()
}

/// Whether `http://127.0.0.1:PORT/PATH` answers 200.
fn probe(rest: &[String]) -> bool {
    let [port, path] = rest else { return false };
    let Ok(mut stream) = TcpStream::connect(format!("127.0.0.1:{port}")) else { return false };
    let mut text = String::new();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").is_ok()
        && stream.read_to_string(&mut text).is_ok()
        && text.starts_with("HTTP/1.1 200")
}
