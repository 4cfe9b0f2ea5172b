//! A static file server for this machine only: the demo's, and the browser tests', which also
//! let it misbehave.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use tiny_http::{Header, Method, Request, Response, StatusCode};

/// Requests answered at the same time; a browser opens six connections.
const WORKERS: usize = 6;

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
    inner: Arc<tiny_http::Server>,
    address: SocketAddr,
    site: Arc<Site>,
    workers: Vec<JoinHandle<()>>,
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
        let inner = tiny_http::Server::http((Ipv4Addr::LOCALHOST, port))
            .map_err(|error| anyhow!("cannot listen on port {port}: {error}"))?;
        let address = inner
            .server_addr()
            .to_ip()
            .ok_or_else(|| anyhow!("the server has no IP address"))?;
        let inner = Arc::new(inner);
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
        let workers = (0..WORKERS)
            .map(|_| {
                let (inner, site) = (Arc::clone(&inner), Arc::clone(&site));
                thread::spawn(move || {
                    for request in inner.incoming_requests() {
                        // A client that goes away in the middle of an answer is its own affair.
                        let _ = site.answer(request);
                    }
                })
            })
            .collect();
        Ok(Self {
            inner,
            address,
            site,
            workers,
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
    pub fn wait(mut self) {
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for _ in &self.workers {
            self.inner.unblock();
        }
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Site {
    fn answer(&self, request: Request) -> io::Result<()> {
        if !matches!(request.method(), Method::Get | Method::Head) {
            return refuse(request, 405);
        }
        let url = request.url().split(['?', '#']).next().unwrap_or_default();
        let decoded = percent_decode(url);
        let Some(path) = decoded.strip_prefix(&self.prefix) else {
            let without_slash = decoded == self.prefix.trim_end_matches('/');
            return if without_slash {
                redirect(request, &self.prefix)
            } else {
                refuse(request, 404)
            };
        };
        lock(&self.requests).push(path.to_owned());
        let faults = lock(&self.faults).clone();
        let fault = faults.and_then(|faults| faults(path));
        match &fault {
            Some(Fault::Status(status)) => return refuse(request, *status),
            Some(Fault::ReplaceBody(body)) => return replace(request, body, content_type(Path::new(path))),
            Some(Fault::CutAfter(_)) | None => {}
        }
        let Some(file) = self.locate(path) else {
            return refuse(request, 404);
        };
        if file.is_dir() {
            let location = format!("{url}/");
            return redirect(request, &location);
        }
        match fault {
            Some(Fault::CutAfter(bytes)) => cut(request, &file, content_type(&file), bytes),
            _ => send(request, &file, content_type(&file)),
        }
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
fn send(request: Request, path: &Path, kind: &str) -> io::Result<()> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let modified = metadata
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let tag = format!("\"{:x}-{:x}\"", metadata.len(), modified.as_nanos());
    let known = request
        .headers()
        .iter()
        .any(|h| h.field.equiv("If-None-Match") && h.value.as_str() == tag);
    // "no-cache" keeps a copy but asks each time: a rebuilt page is never mixed with an old one.
    let headers = [
        ("ETag", tag.as_str()),
        ("Cache-Control", "no-cache"),
        ("Content-Type", kind),
    ];
    if known {
        return request.respond(with_headers(Response::empty(304), &headers));
    }
    // Without a Content-Length the page could not show how far a download is.
    let response = Response::from_file(file).with_chunked_threshold(usize::MAX);
    request.respond(with_headers(response, &headers))
}

/// Sends other bytes than the file's, or than none.
fn replace(request: Request, body: &[u8], kind: &str) -> io::Result<()> {
    let response = Response::from_data(body).with_chunked_threshold(usize::MAX);
    request.respond(with_headers(
        response,
        &[("Content-Type", kind), ("Cache-Control", "no-store")],
    ))
}

/// Sends the start of a file and then what no client accepts as a continuation, which ends the
/// transfer for it just as a broken line does.
fn cut(request: Request, path: &Path, kind: &str, bytes: u64) -> io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(200);
    let mut start = Vec::new();
    File::open(path)?.take(bytes).read_to_end(&mut start)?;
    let mut writer = request.into_writer();
    write!(
        writer,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"
    )?;
    if !start.is_empty() {
        write!(writer, "{:x}\r\n", start.len())?;
        writer.write_all(&start)?;
        writer.write_all(b"\r\n")?;
    }
    writer.flush()?;
    // Lines break while the client reads, not before it has begun.
    thread::sleep(PAUSE);
    writer.write_all(b"cut off here\r\n")?;
    writer.flush()
}

fn refuse(request: Request, status: u16) -> io::Result<()> {
    let status = StatusCode(status);
    let text = format!("{} {}\n", status.0, status.default_reason_phrase());
    request.respond(Response::from_string(text).with_status_code(status))
}

fn redirect(request: Request, location: &str) -> io::Result<()> {
    request.respond(with_headers(Response::empty(308), &[("Location", location)]))
}

/// Adds the headers to a response, those that HTTP allows.
fn with_headers<R: io::Read>(mut response: Response<R>, headers: &[(&str, &str)]) -> Response<R> {
    for (name, value) in headers {
        if let Ok(header) = Header::from_bytes(*name, *value) {
            response.add_header(header);
        }
    }
    response
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
