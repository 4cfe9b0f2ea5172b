//! A static file server for this machine only: the demo's, and the browser tests', which also
//! let it misbehave.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Channel, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::response::Builder;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What every answer carries, as docs/hosting.md recommends it to hosts: the browser tests show that the page works with it.
const HEADERS: [(&str, &str); 7] = [
    // the page's own document has the rest of the policy
    ("content-security-policy", "frame-ancestors 'self'"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(self), microphone=(), geolocation=(), usb=()",
    ),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

type Answer = Response<BoxBody<Bytes, io::Error>>;

/// How the server shall misbehave for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answer with this status and no file.
    Status(u16),
    /// Break the connection off after so many bytes of the file.
    CutAfter(u64),
    /// Answer with these bytes, whether there is such a file or not; for a folder they are HTML.
    ReplaceBody(Vec<u8>),
}

type Faults = dyn Fn(&str) -> Option<Fault> + Send + Sync;

/// A running server; dropping it ends it.
pub struct Server {
    address: SocketAddr,
    site: Arc<Site>,
    /// `None` once it was stopped.
    runtime: Mutex<Option<Runtime>>,
}

/// What is served, and what is recorded about it.
struct Site {
    root: PathBuf,
    prefix: String,
    faults: Mutex<Option<Arc<Faults>>>,
    requests: Mutex<Vec<String>>,
}

impl Server {
    /// Serves a folder at `/` on a port of the loopback interface; port 0 takes any free one.
    ///
    /// # Errors
    /// If the port is taken or may not be used.
    pub fn start(folder: impl Into<PathBuf>, port: u16) -> Result<Self> {
        Self::start_under("/", folder, port)
    }

    /// Serves a folder under a sub-path such as `/tools/inspect/`; everything else is not found.
    ///
    /// # Errors
    /// If the port is taken or may not be used.
    pub fn start_under(prefix: &str, folder: impl Into<PathBuf>, port: u16) -> Result<Self> {
        let runtime = Runtime::new().context("cannot start the server's threads")?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("cannot listen on port {port}"))?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let trimmed = prefix.trim_matches('/');
        let site = Arc::new(Site {
            root: folder.into(),
            prefix: if trimmed.is_empty() {
                "/".into()
            } else {
                format!("/{trimmed}/")
            },
            faults: Mutex::new(None),
            requests: Mutex::default(),
        });
        runtime.spawn(accept(listener, Arc::clone(&site)));
        Ok(Self {
            address,
            site,
            runtime: Mutex::new(Some(runtime)),
        })
    }

    /// The first free port from `port` on, as [`Server::start`].
    ///
    /// # Errors
    /// The last port's error if none of the next ones is free either.
    pub fn start_near(folder: &Path, port: u16) -> Result<Self> {
        const TRIES: u16 = 20;
        let last = port.saturating_add(TRIES);
        (port..last)
            .find_map(|port| Self::start(folder, port).ok())
            .map_or_else(|| Self::start(folder, last), Ok)
    }

    /// The address of the site's first page.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.site.prefix)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Paths requested so far, relative to the site and without the query, in order.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.site.requests).clone()
    }

    /// From now on asks `faults` about every path (relative to the site) how to misbehave.
    pub fn set_faults(&self, faults: impl Fn(&str) -> Option<Fault> + Send + Sync + 'static) {
        *lock(&self.site.faults) = Some(Arc::new(faults));
    }

    /// From now on behaves.
    pub fn clear_faults(&self) {
        *lock(&self.site.faults) = None;
    }

    /// Serves until the process is ended.
    pub fn wait(self) {
        if let Some(runtime) = &*lock(&self.runtime) {
            runtime.block_on(std::future::pending::<()>());
        }
    }

    /// From now on nobody answers at its address.
    pub fn stop(&self) {
        // Open connections end with their runtime, which may itself be dropped in another one.
        if let Some(runtime) = lock(&self.runtime).take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn accept(listener: TcpListener, site: Arc<Site>) {
    while let Ok((stream, _)) = listener.accept().await {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = site.answer(&request);
                async { Ok::<_, Infallible>(answer) }
            });
            // A client that goes away in the middle of an answer is its own affair.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Site {
    fn answer(&self, request: &Request<Incoming>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return refuse(StatusCode::METHOD_NOT_ALLOWED);
        }
        let url = request.uri().path();
        let decoded = percent_decode(url);
        let Some(path) = decoded.strip_prefix(&self.prefix) else {
            let without_slash = decoded == self.prefix.trim_end_matches('/');
            return if without_slash {
                redirect(&self.prefix)
            } else {
                refuse(StatusCode::NOT_FOUND)
            };
        };
        lock(&self.requests).push(path.to_owned());
        let faults = lock(&self.faults).clone();
        let fault = faults.and_then(|faults| faults(path));
        match fault {
            Some(Fault::Status(status)) => {
                return refuse(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
            }
            Some(Fault::ReplaceBody(body)) => {
                return whole(fresh(content_type(Path::new(path))), body);
            }
            Some(Fault::CutAfter(_)) | None => {}
        }
        let Some(file) = self.locate(path) else {
            return refuse(StatusCode::NOT_FOUND);
        };
        if file.is_dir() {
            return redirect(&format!("{url}/"));
        }
        let kind = content_type(&file);
        let sent = match fault {
            Some(Fault::CutAfter(bytes)) => cut(&file, kind, bytes),
            _ => send(request, &file, kind),
        };
        sent.unwrap_or_else(|_| refuse(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// The file a path means; nothing outside of the root. `None` if there is none.
    fn locate(&self, path: &str) -> Option<PathBuf> {
        let relative = Path::new(path);
        let inside = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !inside || path.contains(['\\', '\0', ':']) {
            return None;
        }
        let file = self.root.join(relative);
        let file = if path.is_empty() || path.ends_with('/') {
            file.join("index.html")
        } else {
            file
        };
        file.exists().then_some(file)
    }
}

/// Sends a file; one the browser already has is only confirmed.
fn send(request: &Request<Incoming>, path: &Path, kind: &str) -> io::Result<Answer> {
    let metadata = std::fs::metadata(path)?;
    let modified = metadata
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let tag = format!("\"{:x}-{:x}\"", metadata.len(), modified.as_nanos());
    // "no-cache" keeps a copy but asks each time: a rebuilt page is never mixed with an old one.
    let response = Response::builder()
        .header(header::ETAG, &tag)
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::CONTENT_TYPE, kind);
    if request
        .headers()
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known == &tag)
    {
        return Ok(whole(response.status(StatusCode::NOT_MODIFIED), Vec::new()));
    }
    Ok(whole(response, std::fs::read(path)?))
}

/// Promises a whole file, sends its start and breaks the connection off.
fn cut(path: &Path, kind: &str, bytes: u64) -> io::Result<Answer> {
    /// Lines break while the client reads, not before it has begun.
    const PAUSE: Duration = Duration::from_millis(200);
    let mut start = std::fs::read(path)?;
    let promised = start.len();
    start.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(1);
    tokio::spawn(async move {
        // A client that has gone needs no break.
        let _ = sender.send_data(start.into()).await;
        tokio::time::sleep(PAUSE).await;
        sender.abort(io::Error::from(io::ErrorKind::ConnectionAborted));
    });
    let response = fresh(kind).header(header::CONTENT_LENGTH, promised);
    Ok(complete(response, body.boxed()))
}

/// An answer that no client keeps.
fn fresh(kind: &str) -> Builder {
    Response::builder()
        .header(header::CONTENT_TYPE, kind)
        .header(header::CACHE_CONTROL, "no-store")
}

fn refuse(status: StatusCode) -> Answer {
    whole(Response::builder().status(status), format!("{status}\n").into())
}

fn redirect(location: &str) -> Answer {
    let response = Response::builder().status(StatusCode::PERMANENT_REDIRECT);
    whole(response.header(header::LOCATION, location), Vec::new())
}

/// With its length known, so that the page can show how far a download is.
fn whole(response: Builder, body: Vec<u8>) -> Answer {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
    complete(response, body.boxed())
}

fn complete(response: Builder, body: BoxBody<Bytes, io::Error>) -> Answer {
    let add = |response: Builder, (name, value): (&str, &str)| response.header(name, value);
    let response = HEADERS.into_iter().fold(response, add);
    response.body(body).unwrap_or_else(|_| {
        // A path that cannot stand in a header.
        let nothing = Full::new(Bytes::new()).map_err(|never| match never {});
        let mut answer = Response::new(nothing.boxed());
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        answer
    })
}

/// The text that `%41%42` and the like stand for.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The media type by the file's extension. `application/wasm` is what lets a browser compile
/// while it downloads.
fn content_type(path: &Path) -> &'static str {
    match path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
    {
        "css" => "text/css; charset=utf-8",
        "gif" => "image/gif",
        "" | "html" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "jpg" | "jpeg" => "image/jpeg",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "md" | "txt" => "text/plain; charset=utf-8",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        "webp" => "image/webp",
        _ => "application/octet-stream",
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
