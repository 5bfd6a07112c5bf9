//! A server of the S3 protocol for tests, with the faults of real ones: objects in memory,
//! conditional writes, multipart uploads, ranges.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A fault of the next request that it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is done, and the connection is closed without an answer.
    LostAnswer,
    /// The request is done, and the answer is an error 500.
    DoneAnd500,
    /// The answer is 409, and nothing is stored.
    Conflict,
    /// The answer is 503 SlowDown, and nothing is stored.
    SlowDown,
    /// The answer is 200 with an error in its body, and nothing is stored.
    ErrorInBody,
    /// The answer ends before its length.
    Truncated,
}

/// The requests that a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A PUT with a condition.
    Create,
    /// A PUT of a whole object without a condition.
    Put,
    /// A PUT of one part.
    Part,
    /// The end of a multipart upload.
    Complete,
    /// A GET of an object.
    Get,
    /// A listing.
    List,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Arc<Vec<u8>>>,
    uploads: BTreeMap<String, BTreeMap<u32, Arc<Vec<u8>>>>,
    next: u64,
    faults: Vec<(Of, Fault)>,
    /// A fault of one request of any kind, after this number of others.
    fault_after: Option<(usize, Fault)>,
    /// From the first request on whose method and path have this text, all are answered with 503.
    away_from: Option<String>,
    ignores_conditions: bool,
    /// True to keep conditions only for requests that come one after another.
    looks_first: bool,
    /// True to answer every request with 503.
    is_away: bool,
    /// Objects that other programs write while the next PUT with a condition is on its way.
    meanwhile: BTreeMap<String, Arc<Vec<u8>>>,
    /// Another program that claims a place, after this number of PUTs with a condition: the claim
    /// that it removes, and its own.
    takeover: Option<(usize, [String; 2])>,
    /// Objects that no request can delete.
    undeletable: BTreeSet<String>,
    /// The number of times that one of these was to be deleted.
    denied: usize,
    /// The next listing, once it was made: it is told, and waits before it is sent.
    held: Option<(Sender<()>, Receiver<()>)>,
    /// The method and the target of each request.
    requests: Vec<String>,
    /// The lengths of the parts of each object that was made of parts.
    parts: Vec<Vec<usize>>,
    /// Parts being received at the moment, and the most at a time.
    receiving: (usize, usize),
}

/// A running server. Its thread ends with the test.
#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

impl Server {
    pub fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { state: Arc::default(), address: listener.local_addr().unwrap() };
        let state = Arc::clone(&server.state);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || serve(&connection, &state));
            }
        });
        server
    }

    #[cfg(feature = "gcp")]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn fault(&self, of: Of, fault: Fault) {
        self.state.lock().unwrap().faults.push((of, fault));
    }

    /// Plans a fault of one request of any kind, after this number of others.
    pub fn fault_after(&self, requests: usize, fault: Fault) {
        self.state.lock().unwrap().fault_after = Some((requests, fault));
    }

    /// Forgets such a fault. Returns false where it has happened.
    pub fn forget_fault(&self) -> bool {
        self.state.lock().unwrap().fault_after.take().is_some()
    }

    /// Answers every request with 503, from the first one on whose method and path have this text.
    pub fn be_away_from(&self, text: &str) {
        self.state.lock().unwrap().away_from = Some(text.to_owned());
    }

    pub fn faults_left(&self) -> usize {
        self.state.lock().unwrap().faults.len()
    }

    pub fn ignore_conditions(&self) {
        self.state.lock().unwrap().ignores_conditions = true;
    }

    /// Looks if an object is there, and writes a little later.
    pub fn look_first(&self) {
        self.state.lock().unwrap().looks_first = true;
    }

    /// Answers every request with 503 from now on, or no longer.
    pub fn set_away(&self, is_away: bool) {
        self.state.lock().unwrap().is_away = is_away;
    }

    /// The keys of the objects, without the bucket.
    pub fn keys(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.objects.keys().filter_map(|key| Some(key.strip_prefix("/bucket/")?.to_owned())).collect()
    }

    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.state.lock().unwrap().objects.get(&format!("/bucket/{key}")).map(|bytes| bytes.to_vec())
    }

    pub fn insert(&self, key: &str, bytes: Vec<u8>) {
        self.state.lock().unwrap().objects.insert(format!("/bucket/{key}"), Arc::new(bytes));
    }

    /// Another program writes an object while the next PUT with a condition is on its way.
    pub fn insert_meanwhile(&self, key: &str, bytes: Vec<u8>) {
        self.state.lock().unwrap().meanwhile.insert(format!("/bucket/{key}"), Arc::new(bytes));
    }

    /// After this number of PUTs with a condition, and before the next one, another program claims
    /// the place: it removes the claim `old`, and writes `new`.
    pub fn take_over_after(&self, creations: usize, old: &str, new: &str) {
        let keys = [old, new].map(|key| format!("/bucket/{key}"));
        self.state.lock().unwrap().takeover = Some((creations, keys));
    }

    pub fn remove(&self, key: &str) {
        self.state.lock().unwrap().objects.remove(&format!("/bucket/{key}"));
    }

    /// From now on, no request can delete this object.
    pub fn keep(&self, key: &str) {
        self.state.lock().unwrap().undeletable.insert(key.to_owned());
    }

    /// The number of times that such an object was to be deleted.
    pub fn denied(&self) -> usize {
        self.state.lock().unwrap().denied
    }

    /// Holds the answer of the next listing: the first of these tells when it was made, the second
    /// lets it go.
    pub fn hold_next_listing(&self) -> (Receiver<()>, Sender<()>) {
        let ((made, is_made), (go, may_go)) = (mpsc::channel(), mpsc::channel());
        self.state.lock().unwrap().held = Some((made, may_go));
        (is_made, go)
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    pub fn parts(&self) -> Vec<Vec<usize>> {
        self.state.lock().unwrap().parts.clone()
    }

    pub fn unfinished(&self) -> usize {
        self.state.lock().unwrap().uploads.len()
    }

    pub fn most_parts_at_once(&self) -> usize {
        self.state.lock().unwrap().receiving.1
    }
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// The headers of a request that creates; the second one is that of Google.
const CONDITIONS: [&str; 2] = ["if-none-match", "x-goog-if-generation-match"];

impl Request {
    /// True if an object that exists is to be left as it is.
    fn creates(&self) -> bool {
        CONDITIONS.iter().any(|name| self.headers.contains_key(*name))
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn receive(reader: &mut impl BufRead, state: &Mutex<State>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let is_part = target.contains("partNumber");
    if is_part {
        let receiving = &mut state.lock().unwrap().receiving;
        receiving.0 += 1;
        receiving.1 = receiving.1.max(receiving.0);
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    let received = reader.read_exact(&mut body);
    let mut state = state.lock().unwrap();
    if is_part {
        state.receiving.0 -= 1;
    }
    received?;
    let range = headers.get("range").map(|range| format!(" {range}")).unwrap_or_default();
    state.requests.push(format!("{method} {target}{range}"));
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = query.map(|(name, value)| (decoded(name), decoded(value))).collect();
    Ok(Some(Request { method, path: decoded(path), query, headers, body }))
}

/// An answer: its status, its headers, its body.
type Answer = (&'static str, String, Vec<u8>);

fn error(status: &'static str, code: &str) -> Answer {
    (status, String::new(), format!("<Error><Code>{code}</Code></Error>").into_bytes())
}

fn serve(connection: &TcpStream, all: &Mutex<State>) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    while let Some(mut request) = receive(&mut reader, all)? {
        let mut state = all.lock().unwrap();
        if state.looks_first && request.creates() && !state.objects.contains_key(&request.path) {
            request.headers.retain(|name, _| !CONDITIONS.contains(&name.as_str()));
            drop(state);
            std::thread::sleep(Duration::from_millis(20));
            state = all.lock().unwrap();
        }
        let asked = format!("{} {}", request.method, request.path);
        if state.away_from.as_ref().is_some_and(|text| asked.contains(text)) {
            (state.is_away, state.away_from) = (true, None);
        }
        let fault = if state.is_away { Some(Fault::SlowDown) } else { take_fault(&mut state, &request) };
        let answer = match fault {
            Some(Fault::Conflict) => error("409 Conflict", "ConditionalRequestConflict"),
            Some(Fault::SlowDown) => error("503 Slow Down", "SlowDown"),
            Some(Fault::ErrorInBody) => error("200 OK", "InternalError"),
            _ => answer(&mut state, &request),
        };
        let is_listing = request.query.contains_key("list-type");
        let held = if is_listing { state.held.take() } else { None };
        drop(state);
        if let Some((made, may_go)) = held {
            let _ = made.send(());
            let _ = may_go.recv();
        }
        let answer = match fault {
            Some(Fault::LostAnswer) => return Ok(()),
            Some(Fault::DoneAnd500) => error("500 Internal Server Error", "InternalError"),
            _ => answer,
        };
        let (status, headers, body) = answer;
        let date = "last-modified: Thu, 26 Nov 2026 12:00:00 GMT\r\n";
        let length = headers.strip_prefix("length ").and_then(|length| length.parse().ok());
        let headers = if length.is_some() { "etag: \"0\"\r\n" } else { &headers };
        write!(
            writer,
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{date}{headers}\r\n",
            length.unwrap_or(body.len())
        )?;
        if fault == Some(Fault::Truncated) {
            writer.write_all(&body[..body.len() / 2])?;
            return Ok(());
        }
        writer.write_all(&body)?;
    }
    Ok(())
}

fn take_fault(state: &mut State, request: &Request) -> Option<Fault> {
    match &mut state.fault_after {
        Some((0, fault)) => {
            let fault = *fault;
            state.fault_after = None;
            return Some(fault);
        }
        Some((others, _)) => *others -= 1,
        None => {}
    }
    let has = |name: &str| request.query.contains_key(name);
    let of = match request.method.as_str() {
        "PUT" if has("partNumber") => Of::Part,
        "PUT" if request.creates() => Of::Create,
        "PUT" => Of::Put,
        "POST" if has("uploadId") => Of::Complete,
        "GET" if has("list-type") => Of::List,
        "GET" => Of::Get,
        _ => return None,
    };
    if of == Of::Create {
        let meanwhile = std::mem::take(&mut state.meanwhile);
        state.objects.extend(meanwhile);
        match &mut state.takeover {
            Some((0, [old, new])) => {
                let (old, new) = (std::mem::take(old), std::mem::take(new));
                state.takeover = None;
                state.objects.remove(&old);
                state.objects.insert(new, Arc::new(b"{}".to_vec()));
            }
            Some((creations, _)) => *creations -= 1,
            None => {}
        }
    }
    let place = state.faults.iter().position(|(wanted, _)| *wanted == of)?;
    Some(state.faults.remove(place).1)
}

fn answer(state: &mut State, request: &Request) -> Answer {
    let query = |name: &str| request.query.get(name).map(String::as_str);
    let path = &request.path;
    state.next += 1;
    let tag = format!("etag: \"{}\"\r\n", state.next);
    match (request.method.as_str(), query("uploadId")) {
        ("POST", None) if query("uploads").is_some() => {
            let id = format!("u{}", state.next);
            state.uploads.insert(id.clone(), BTreeMap::new());
            let body = format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            );
            ("200 OK", String::new(), body.into_bytes())
        }
        ("POST", None) => {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let mut answer = "<DeleteResult>".to_owned();
            for key in body.split("<Key>").skip(1) {
                let key = key.split("</Key>").next().unwrap();
                if state.undeletable.contains(key) {
                    state.denied += 1;
                    answer += &format!(
                        "<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>kept</Message></Error>"
                    );
                    continue;
                }
                state.objects.remove(&format!("{path}/{key}").replace("//", "/"));
                answer += &format!("<Deleted><Key>{key}</Key></Deleted>");
            }
            ("200 OK", String::new(), (answer + "</DeleteResult>").into_bytes())
        }
        ("PUT", Some(id)) => {
            let number = query("partNumber").unwrap().parse().unwrap();
            let part = Arc::new(request.body.clone());
            match state.uploads.get_mut(id) {
                Some(upload) => drop(upload.insert(number, part)),
                None => return error("404 Not Found", "NoSuchUpload"),
            }
            ("200 OK", tag, Vec::new())
        }
        ("POST", Some(id)) => {
            let Some(parts) = state.uploads.remove(id) else { return error("404 Not Found", "NoSuchUpload") };
            state.parts.push(parts.values().map(|part| part.len()).collect());
            let whole = parts.into_values().flat_map(|part| part.to_vec()).collect();
            state.objects.insert(path.clone(), Arc::new(whole));
            let body = "<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>"
                .to_owned();
            ("200 OK", String::new(), body.into_bytes())
        }
        ("PUT", None) => {
            let is_conditional = request.creates() && !state.ignores_conditions;
            if is_conditional && state.objects.contains_key(path) {
                return error("412 Precondition Failed", "PreconditionFailed");
            }
            state.objects.insert(path.clone(), Arc::new(request.body.clone()));
            ("200 OK", tag, Vec::new())
        }
        ("DELETE", Some(id)) => {
            state.uploads.remove(id);
            ("204 No Content", String::new(), Vec::new())
        }
        ("DELETE", None) => {
            state.objects.remove(path);
            ("204 No Content", String::new(), Vec::new())
        }
        ("GET", _) if query("list-type").is_some() => {
            list(state, path, query("prefix").unwrap_or(""), query("delimiter"))
        }
        ("HEAD", _) => match state.objects.get(path) {
            Some(bytes) => ("200 OK", format!("length {}", bytes.len()), Vec::new()),
            None => ("404 Not Found", String::new(), Vec::new()),
        },
        ("GET", _) => {
            let Some(bytes) = state.objects.get(path) else { return error("404 Not Found", "NoSuchKey") };
            let range = request.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
            let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
                return ("200 OK", tag, bytes.to_vec());
            };
            let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
            let to = (to + 1).min(bytes.len());
            let range = format!("content-range: bytes {from}-{}/{}\r\n", to - 1, bytes.len());
            ("206 Partial Content", tag + &range, bytes[from..to].to_vec())
        }
        _ => error("501 Not Implemented", "NotImplemented"),
    }
}

fn list(state: &State, path: &str, prefix: &str, delimiter: Option<&str>) -> Answer {
    let mut body = "<ListBucketResult>".to_owned();
    let mut folders = BTreeSet::new();
    for (key, bytes) in &state.objects {
        let key = key.strip_prefix(path).unwrap_or(key).trim_start_matches('/');
        if let Some(rest) = key.strip_prefix(prefix) {
            if let Some((folder, _)) = delimiter.and_then(|delimiter| rest.split_once(delimiter)) {
                if folders.insert(folder) {
                    body += &format!("<CommonPrefixes><Prefix>{prefix}{folder}/</Prefix></CommonPrefixes>");
                }
                continue;
            }
            body += &format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-26T12:00:00.000Z</LastModified>\
                 <ETag>\"1\"</ETag><Size>{}</Size></Contents>",
                bytes.len()
            );
        }
    }
    body += "<IsTruncated>false</IsTruncated></ListBucketResult>";
    ("200 OK", String::new(), body.into_bytes())
}
