//! The program of the example: a tiny shop, one static file, standard library only.
//!
//! `shop web` and `shop api` answer HTTP on `PORT` (default 8080): `/` is a page, `/healthz` and
//! `/readyz` are for probes. The greeting comes from the environment, prices and key from files,
//! as in applications that people have.
//!
//! Evenkeel's tests use its other words: `shop exit CODE [AFTER_SECONDS]`, `shop hang`,
//! `shop log LINE...`, `shop eat`, `shop probe PORT PATH`, `shop touch FILE`, `shop cat FILE`.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::exit,
    thread,
    time::{Duration, Instant},
};

/// A process that is the first of its container gets no default action for SIGTERM: without a
/// handler it would be killed only after its grace. The standard library has no handlers, hence
/// these few lines of C interface, the only unsafe code here.
mod stop {
    const SIGTERM: i32 = 15;
    const SIGINT: i32 = 2;

    unsafe extern "C" {
        fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
        fn _exit(code: i32) -> !;
    }

    extern "C" fn leave(_: i32) {
        // SAFETY: `_exit` is async-signal-safe and takes any code.
        unsafe { _exit(0) }
    }

    pub fn at_once() {
        // SAFETY: the handler is a function of the right type that lives for ever.
        unsafe {
            signal(SIGTERM, leave);
            signal(SIGINT, leave);
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
    for stream in listener.incoming().flatten() {
        let (role, version) = (role.to_string(), version.clone());
        let ready = started.elapsed() >= ready_after;
        thread::spawn(move || answer(stream, &role, &version, ready));
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

fn page(role: &str, version: &str) -> String {
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let greeting = env::var("GREETING").unwrap_or_else(|_| "Hello".into());
    let prices = fs::read_to_string("/etc/shop/prices.txt").unwrap_or_else(|_| "no prices\n".into());
    let key = if fs::metadata("/etc/shop-key/key").is_ok() { "there" } else { "missing" };
    format!("{greeting} from shop {version}, {role} on {}\nkey: {key}\n{prices}", host.trim())
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
