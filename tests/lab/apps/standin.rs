//! Stands in for the programs of applications as people write them: they find each other by the names in
//! their manifests, as the real ones do, and speak HTTP of one line. Standard library only.
//!
//! `standin store` keeps lists in memory: a cache or a database. `standin vote`, `worker` and `result`
//! are the tiers of a voting application around the stores `redis` and `db`. `standin tier` asks every
//! address that a variable `..._ADDR` names and answers with what they said, as a shop's services do.
//! All listen on `PORT`. `standin ask HOST:PORT PATH` prints an answer.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, ToSocketAddrs},
    process::exit,
    sync::Mutex,
    thread,
    time::Duration,
};

const REDIS: &str = "redis:6379";
const DB: &str = "db:5432";

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["store"] => {
            let lists = Mutex::default();
            serve(&move |path| store(&lists, path))
        }
        ["vote"] => serve(&|path| match path.strip_prefix("/vote/") {
            Some(choice) => ask(REDIS, &format!("/push/votes/{choice}")),
            None => Ok(format!("vote at {}", name())),
        }),
        ["result"] => serve(&|path| match path.strip_prefix("/of/") {
            Some(choice) => ask(DB, &format!("/count/{choice}")),
            None => Ok(format!("result at {}", name())),
        }),
        ["worker"] => work(),
        ["tier"] => serve(&|path| if path == "/" { tier() } else { Ok("ok".into()) }),
        ["ask", address, path] => match ask(address, path) {
            Ok(said) => println!("{said}"),
            Err(why) => {
                eprintln!("standin: {why}");
                exit(1)
            }
        },
        _ => {
            eprintln!("standin: what shall I be? {args:?}");
            exit(64)
        }
    }
}

fn name() -> String {
    env::var("HOSTNAME").unwrap_or_default()
}

/// Answers until it is killed; what cannot be answered is a 503.
fn serve(answer: &(dyn Fn(&str) -> Result<String, String> + Sync)) {
    let port = env::var("PORT").unwrap_or_else(|_| "80".into());
    let listener = TcpListener::bind(format!("0.0.0.0:{port}")).unwrap_or_else(|e| {
        eprintln!("standin: cannot listen on {port}: {e}");
        exit(1)
    });
    println!("{} listens on {port}", name());
    thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            scope.spawn(move || {
                if let Err(why) = reply(stream, answer) {
                    eprintln!("standin: {why}");
                }
            });
        }
    });
}

fn reply(mut stream: TcpStream, answer: &dyn Fn(&str) -> Result<String, String>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let (status, body) = match answer(request.split(' ').nth(1).unwrap_or("/")) {
        Ok(body) => ("200 OK", body),
        Err(why) => ("503 Service Unavailable", why),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// The body of an answer 200, or why there is none.
fn ask(address: &str, path: &str) -> Result<String, String> {
    let step = Duration::from_secs(2);
    let wrong = |e: std::io::Error| format!("{address}: {e}");
    let first = address.to_socket_addrs().map_err(wrong)?.next().ok_or_else(|| format!("{address}: no address"))?;
    let mut stream = TcpStream::connect_timeout(&first, step).map_err(wrong)?;
    stream.set_read_timeout(Some(step)).map_err(wrong)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").map_err(wrong)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(wrong)?;
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        Some((_, body)) => Err(format!("{address}: {body}")),
        None => Err(format!("{address}: closed after {} bytes", text.len())),
    }
}

/// `/push/LIST/ITEM`, `/pop/LIST` and `/count/LIST`.
fn store(lists: &Mutex<BTreeMap<String, Vec<String>>>, path: &str) -> Result<String, String> {
    let mut lists = lists.lock().map_err(|e| e.to_string())?;
    let mut list = |name: &str| std::mem::take(lists.entry(name.to_owned()).or_default());
    match path.split('/').skip(1).collect::<Vec<_>>()[..] {
        ["push", name, item] => {
            let mut items = list(name);
            items.push(item.to_owned());
            lists.insert(name.to_owned(), items);
            Ok("pushed".into())
        }
        ["pop", name] => {
            let mut items = list(name);
            let item = items.pop().unwrap_or_default();
            lists.insert(name.to_owned(), items);
            Ok(item)
        }
        ["count", name] => Ok(lists.get(name).map_or(0, Vec::len).to_string()),
        _ => Ok("a store".into()),
    }
}

/// Carries votes from one store to the other; a vote that cannot be written goes back.
fn work() {
    loop {
        let moved = ask(REDIS, "/pop/votes").and_then(|vote| match vote.as_str() {
            "" => Ok(false),
            choice => ask(DB, &format!("/push/{choice}/one")).map(|_| true).map_err(|why| {
                let back = ask(REDIS, &format!("/push/votes/{choice}"));
                format!("{why}, given back: {back:?}")
            }),
        });
        match moved {
            Ok(true) => {}
            Ok(false) => thread::sleep(Duration::from_millis(100)),
            Err(why) => {
                eprintln!("standin: {why}");
                thread::sleep(Duration::from_millis(500));
            }
        }
    }
}

/// What this one says, and all whom it asks: `frontend(cart(store) ads)`.
fn tier() -> Result<String, String> {
    let me = name();
    let me = me.rsplitn(3, '-').last().unwrap_or_default();
    // Variables of Services end so, too, but have no port.
    let of_a_tier = |(name, value): &(String, String)| name.ends_with("_ADDR") && value.contains(':');
    let asked: Vec<(String, String)> = env::vars().filter(of_a_tier).collect();
    let said = asked.iter().map(|(_, address)| ask(address, "/")).collect::<Result<Vec<_>, _>>()?;
    if said.is_empty() { Ok(me.to_owned()) } else { Ok(format!("{me}({})", said.join(" "))) }
}
