use super::*;
use crate::process::TempDir;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

fn site() -> TempDir {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = TempDir::new(&std::env::temp_dir(), &format!("destseg-serve-{number}")).expect("creates");
    fs::create_dir(folder.path().join("site")).expect("creates");
    fs::create_dir(folder.path().join("site/sub dir")).expect("creates");
    fs::write(folder.path().join("secret"), "secret").expect("writes");
    fs::write(folder.path().join("site/index.html"), "<p>first").expect("writes");
    fs::write(folder.path().join("site/sub dir/index.html"), "<p>second").expect("writes");
    fs::write(folder.path().join("site/a.wasm"), vec![b'w'; 100_000]).expect("writes");
    folder
}

/// Sends a request as it stands and reads until the server has nothing more to say.
fn raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).expect("connects");
    write!(stream, "{request}\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sends");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("reads");
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(server: &Server, path: &str) -> String {
    raw(server, &format!("GET {path} HTTP/1.1"))
}

#[test]
fn files_come_with_type_and_length_and_are_not_sent_twice() {
    let folder = site();
    let server = Server::start(folder.path().join("site"), 0).expect("starts");
    assert!(get(&server, "/?backend=cpu").ends_with("<p>first"));
    assert!(get(&server, "/sub%20dir/").ends_with("<p>second"));
    assert!(get(&server, "/sub%20dir").contains("location: /sub%20dir/"));
    let wasm = get(&server, "/a.wasm");
    assert!(wasm.contains("content-type: application/wasm"), "{wasm:.300}");
    assert!(wasm.contains("content-length: 100000"), "{wasm:.300}");
    let tag = wasm
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .expect("has a tag");
    let again = raw(&server, &format!("GET /a.wasm HTTP/1.1\r\nIf-None-Match: {tag}"));
    assert!(again.starts_with("HTTP/1.1 304"), "{again:.300}");
    assert_eq!(server.requests(), ["", "sub dir/", "sub dir", "a.wasm", "a.wasm"]);
}

#[test]
fn nothing_outside_of_the_folder_is_served() {
    let folder = site();
    let server = Server::start(folder.path().join("site"), 0).expect("starts");
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/sub%20dir/../../secret",
        "//etc/passwd",
        "/..%5csecret",
    ] {
        let answer = get(&server, path);
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer:.300}");
    }
    assert!(raw(&server, "POST / HTTP/1.1\r\nContent-Length: 0").starts_with("HTTP/1.1 405"));
}

#[test]
fn a_sub_path_is_the_whole_site() {
    let folder = site();
    let server = Server::start_under("/tools/inspect", folder.path().join("site"), 0).expect("starts");
    assert!(server.url().ends_with("/tools/inspect/"));
    assert!(get(&server, "/tools/inspect/").ends_with("<p>first"));
    assert!(get(&server, "/tools/inspect").contains("location: /tools/inspect/"));
    assert!(get(&server, "/").starts_with("HTTP/1.1 404"));
}

#[test]
fn faults_happen_where_they_are_asked_for() {
    let folder = site();
    let server = Server::start(folder.path().join("site"), 0).expect("starts");
    server.set_faults(|path| (path == "a.wasm").then_some(Fault::CutAfter(10)));
    let cut = get(&server, "/a.wasm");
    assert!(cut.contains("content-length: 100000"), "{cut:.300}");
    assert!(cut.ends_with("\r\n\r\nwwwwwwwwww"), "{cut:.300}");
    assert!(get(&server, "/").ends_with("<p>first"));
    server.set_faults(|_| Some(Fault::ReplaceBody(b"other".to_vec())));
    assert!(get(&server, "/").ends_with("\r\n\r\nother"));
    server.set_faults(|_| Some(Fault::Status(503)));
    assert!(get(&server, "/").starts_with("HTTP/1.1 503"));
    server.clear_faults();
    assert!(get(&server, "/").ends_with("<p>first"));
}

#[test]
fn a_taken_port_gives_way_to_the_next() {
    let folder = site();
    let first = Server::start(folder.path(), 0).expect("starts");
    let second = Server::start_near(folder.path(), first.port()).expect("starts");
    assert!(second.port() > first.port());
}
