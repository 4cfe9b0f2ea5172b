//! Starts a browser for a test, and ends it whatever happens.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use xtask::serve::Server;

use crate::page::Page;
use crate::site::Site;

/// Where the site lies on its server: under a sub-path, as on many static hosts.
const SUB_PATH: &str = "/tools/inspect/";

/// Which GPU the browser shows to the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gpu {
    /// None: `requestAdapter()` gives null.
    None,
    /// The software adapter that Chromium carries.
    SwiftShader,
}

impl Gpu {
    /// No test takes longer than this, unless `DESTSEG_LIMIT` says how many seconds.
    fn limit(self) -> Duration {
        let usual = match self {
            Self::None => 240,
            // a step of a training takes ten seconds
            Self::SwiftShader => 900,
        };
        Duration::from_secs(number("DESTSEG_LIMIT").map_or(usual, |limit| limit as u64))
    }
}

/// A number that the environment gives, for long runs.
pub(crate) fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// Flags that every browser here gets: nothing that talks to the network by itself.
const FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1000",
    "--enable-logging",
    // the tests of memory collect garbage first
    "--js-flags=--expose-gc",
];

/// Makes the film, Motion JPEG, that a browser plays in place of a camera.
pub(crate) type Film = fn(&Site, &Path) -> Result<PathBuf>;

/// Runs one test in a browser and a server of its own. One test at a time: they share two cores.
pub(crate) fn in_browser<F, R>(gpu: Gpu, test: F)
where
    F: FnOnce(Page) -> R,
    R: Future<Output = Result<()>> + Send + 'static,
{
    one_at_a_time(gpu, None, test);
}

/// Likewise in a browser with a camera that shows a film.
pub(crate) fn in_browser_with<F, R>(gpu: Gpu, film: Film, test: F)
where
    F: FnOnce(Page) -> R,
    R: Future<Output = Result<()>> + Send + 'static,
{
    one_at_a_time(gpu, Some(film), test);
}

fn one_at_a_time<F, R>(gpu: Gpu, film: Option<Film>, test: F)
where
    F: FnOnce(Page) -> R,
    R: Future<Output = Result<()>> + Send + 'static,
{
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Runtime::new().expect("tokio starts");
    if let Err(error) = runtime.block_on(run(gpu, film, test)) {
        panic!("{error:#}");
    }
}

async fn run<F, R>(gpu: Gpu, film: Option<Film>, test: F) -> Result<()>
where
    F: FnOnce(Page) -> R,
    R: Future<Output = Result<()>> + Send + 'static,
{
    let site = Arc::new(Site::open()?);
    let server = Arc::new(Server::start_under(SUB_PATH, site.folder(), 0)?);
    let browser = xtask::browser::find()?;
    let driver = Driver::start(&browser.driver)?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("browser.log");
    let film = film.map(|film| film(&site, folder.path())).transpose()?;
    let flags = flags(gpu, folder.path(), &log, film.as_deref());
    let client = connect(&driver, &browser.chrome, &flags).await?;
    let page = Page::new(client.clone(), driver.port, server, site, folder.path());

    let task = tokio::spawn(test(page.clone()));
    let limit = gpu.limit();
    let outcome = match tokio::time::timeout(limit, task).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(anyhow!("{panic}")),
        Err(_) => Err(anyhow!("the test took longer than {limit:?}")),
    };
    if outcome.is_err() {
        let name = std::thread::current().name().unwrap_or("test").replace("::", "-");
        page.report_failure(&format!("{name}-failed")).await;
        report_log(&log);
    }
    // Without this the browser would outlive its driver.
    client.close().await.context("the browser did not end")?;
    outcome
}

/// What the browser is started with.
fn flags(gpu: Gpu, folder: &Path, log: &Path, film: Option<&Path>) -> Vec<String> {
    let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
    flags.push(format!("--user-data-dir={}", folder.join("profile").display()));
    flags.push(format!("--log-file={}", log.display()));
    if gpu == Gpu::SwiftShader {
        flags.extend(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"].map(str::to_owned));
    }
    if let Some(film) = film {
        // nobody is there to be asked for the camera
        let camera = [
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
        ];
        flags.extend(camera.map(str::to_owned));
        flags.push(format!("--use-file-for-fake-video-capture={}", film.display()));
    }
    flags
}

async fn connect(driver: &Driver, chrome: &Path, flags: &[String]) -> Result<Client> {
    let capabilities = json!({ "goog:chromeOptions": { "binary": chrome, "args": flags } });
    let serde_json::Value::Object(capabilities) = capabilities else {
        bail!("capabilities are an object")
    };
    ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities)
        .connect(&format!("http://127.0.0.1:{}", driver.port))
        .await
        .context("the browser could not be started: Chromium and chromedriver must be of the same version")
}

/// The messages that pages wrote to the console.
fn report_log(log: &Path) {
    let text = fs::read(log).unwrap_or_default();
    for line in String::from_utf8_lossy(&text)
        .lines()
        .filter(|line| line.contains("CONSOLE"))
    {
        eprintln!("{line}");
    }
}

/// A running `chromedriver`.
struct Driver {
    process: Child,
    port: u16,
    /// Kept open, else its next line would end it.
    _output: BufReader<ChildStdout>,
}

impl Driver {
    fn start(program: &Path) -> Result<Self> {
        let mut process = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut output = BufReader::new(process.stdout.take().context("its output is piped")?);
        let mut line = String::new();
        // "ChromeDriver was started successfully on port 35151."
        let port = loop {
            line.clear();
            if output.read_line(&mut line)? == 0 {
                bail!("{} ended before it listened", program.display());
            }
            if let Some((_, port)) = line
                .trim_end_matches(['.', '\n', '\r'])
                .rsplit_once("successfully on port ")
            {
                break port.parse().with_context(|| format!("no port: {line}"))?;
            }
        };
        Ok(Self {
            process,
            port,
            _output: output,
        })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where screenshots are kept.
pub(crate) fn artefacts() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap_or(Path::new("target"));
    std::env::var_os("DESTSEG_ARTEFACTS").map_or_else(|| target.join("browser-artefacts"), PathBuf::from)
}
