//! A storage that answers over the network: moto's server in the place of S3, where it is installed.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{MODEL, command, evaluation, tool, words};
use command::demo_data;

/// A server on a port of this machine; it ends with the test.
struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    listener.local_addr().expect("has an address").port()
}

impl Server {
    fn start(program: &Path, port: u16) -> Self {
        let process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let server = Self { process, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(120), "moto does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// Puts a bucket or an object; this server asks for no signature.
    fn put(&self, path: &str, content: &[u8]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.port,
            content.len()
        );
        stream.write_all(head.as_bytes()).expect("sends");
        stream.write_all(content).expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// The program with the variables that name the server.
fn destseg(port: u16, line: &str, more: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_destseg"));
    command
        .args(words(line, more))
        .current_dir(folder)
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "us-east-1");
    command
}

#[track_caller]
fn succeeds(mut command: Command) -> (String, String) {
    let output = command.output().expect("destseg starts");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    (String::from_utf8_lossy(&output.stdout).into_owned(), errors)
}

#[test]
fn a_storage_that_does_not_answer_is_said() {
    let folder = tempfile::tempdir().expect("creates");
    let line = "work --patience 2 --store s3://bucket/runs";
    let start = Instant::now();
    let output = destseg(free_port(), line, &[], folder.path())
        .output()
        .expect("destseg starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let expected = if cfg!(feature = "s3") {
        "check the address, the keys and the network, and start the same command again"
    } else {
        "this destseg was built without S3"
    };
    assert!(
        errors.contains(expected) && errors.lines().count() == 1,
        "{errors}"
    );
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn plans_results_and_images_lie_in_s3() {
    let Some(program) = tool("moto_server").filter(|_| cfg!(feature = "s3")) else {
        println!("skipped: needs moto's server (cargo xtask setup --cluster) and the feature s3");
        return;
    };
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [4, 3, 1], 5);
    let port = free_port();
    let server = Server::start(&program, port);
    server.put("/bucket", b"");
    let mut pending = vec![path.join("fabric/test"), path.join("fabric/ground_truth")];
    while let Some(own) = pending.pop() {
        if own.is_dir() {
            pending.extend(
                fs::read_dir(own)
                    .expect("lists")
                    .map(|entry| entry.expect("lists").path()),
            );
        } else {
            let inner = own
                .strip_prefix(path)
                .expect("is inside")
                .to_string_lossy()
                .into_owned();
            server.put(
                &format!("/bucket/archive/{inner}"),
                &fs::read(&own).expect("reads"),
            );
        }
    }
    let run = |line: &str, more: &[&str]| succeeds(destseg(port, line, more, path));
    run(
        "eval --data fabric --device cpu --report alone.json --model",
        &[MODEL],
    );
    run(
        "plan --store s3://bucket/runs eval --data s3://bucket/archive/fabric --chunk 3 --model",
        &[MODEL],
    );
    let line = "work --store s3://bucket/runs --devices cpu --shard";
    let (_, notes) = run(line, &["0/2"]);
    assert!(notes.contains("0 of them done already"), "{notes}");
    let mut twins = [0, 1].map(|_| {
        let mut command = destseg(port, line, &["1/2"], path);
        command.stderr(Stdio::null()).spawn().expect("destseg starts")
    });
    for twin in &mut twins {
        assert!(twin.wait().expect("ends").success(), "a result is put once");
    }
    let (table, _) = run("merge --store s3://bucket/runs -o merged", &[]);
    assert!(table.contains("fabric"), "{table}");
    let (merged, alone) = (
        evaluation(&path.join("merged/evaluation.json")),
        evaluation(&path.join("alone.json")),
    );
    assert_eq!(merged.report.segmentation, alone.report.segmentation);
    assert_eq!(merged.images, alone.images);
}

#[test]
fn a_worker_waits_for_a_storage_that_starts_late() {
    let Some(program) = tool("moto_server").filter(|_| cfg!(feature = "s3")) else {
        println!("skipped: needs moto's server (cargo xtask setup --cluster) and the feature s3");
        return;
    };
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    let port = free_port();
    let mut early = destseg(port, "work --store s3://bucket/runs", &[], path);
    let early = early.stderr(Stdio::piped()).spawn().expect("destseg starts");
    std::thread::sleep(Duration::from_secs(1));
    let _server = Server::start(&program, port);
    let output = early.wait_with_output().expect("ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    // it was heard: there is an answer, and no word of the network
    assert!(
        errors.contains("holds no plan") || errors.contains("NoSuchBucket"),
        "{errors}"
    );
}
