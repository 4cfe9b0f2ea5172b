//! The page as a visitor sees and uses it. Everything it shows is read in one go as a
//! [`Snapshot`]; waiting means to look again until a snapshot is as it should be.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, Locator};
use serde::Deserialize;
use serde_json::{Value, json};
use xtask::serve::Server;

use crate::harness::artefacts;
use crate::site::Site;

/// How long the CPU path may take for anything.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// How many images of the queue are over.
pub(crate) const OVER: &str = "return Number(document.querySelector('[data-testid=queue]').dataset.over)";
/// How long WebGPU on a software adapter may take, shaders of the first pass included.
pub(crate) const SLOW: Duration = Duration::from_secs(180);
/// Time between two looks.
const POLL: Duration = Duration::from_millis(50);

/// Reads a [`Snapshot`].
const LOOK: &str = r#"
    const all = id => [...document.querySelectorAll(`[data-testid="${id}"]`)];
    const text = id => all(id).map(element => element.innerText).join("\n").trim();
    const maps = window.destseg?.maps?.();
    const canvas = all("heatmap-canvas")[0];
    const current = document.querySelector("[data-testid=queue-item]:has([aria-current])");
    return {
        now: performance.now(),
        shown: maps?.name ?? null,
        current: current?.dataset.name ?? null,
        canvas: canvas ? [canvas.width, canvas.height] : null,
        item_error: text("item-error"),
        backend: text("status-backend"),
        adapter: text("status-adapter"),
        device_notice: text("status-notice"),
        software: text("status-software"),
        model: text("status-model"),
        first_ms: text("status-first-ms"),
        median_ms: text("status-median-ms"),
        verdict: text("verdict"),
        score: text("score"),
        notices: all("notice").map(element => element.innerText.trim()),
        items: all("queue-item").map(element => ({
            name: element.dataset.name,
            state: element.dataset.state,
            score: parseFloat(element.dataset.score),
        })),
    };
"#;

/// Reads the selected result's [`Maps`].
const MAPS: &str = "
    const maps = window.destseg.maps();
    return maps && { ...maps, segmentation: [...maps.segmentation], dest: [...maps.dest] };
";

/// What the page shows.
#[derive(Debug, Deserialize)]
pub(crate) struct Snapshot {
    /// Milliseconds since the navigation.
    pub(crate) now: f64,
    /// Name of the image whose result is shown.
    pub(crate) shown: Option<String>,
    /// Name of the selected image, with or without a result.
    pub(crate) current: Option<String>,
    /// Width and height of the picture with the heat map.
    pub(crate) canvas: Option<(u32, u32)>,
    /// Why the selected image cannot be analysed.
    pub(crate) item_error: String,
    pub(crate) backend: String,
    pub(crate) adapter: String,
    /// Why the device is not the expected one.
    pub(crate) device_notice: String,
    /// The warning about a software adapter.
    pub(crate) software: String,
    pub(crate) model: String,
    pub(crate) first_ms: String,
    pub(crate) median_ms: String,
    pub(crate) verdict: String,
    pub(crate) score: String,
    pub(crate) notices: Vec<String>,
    pub(crate) items: Vec<Item>,
}

/// An image of the queue.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Item {
    pub(crate) name: String,
    /// waiting, working, done or failed.
    pub(crate) state: String,
    pub(crate) score: Option<f32>,
}

impl Item {
    pub(crate) fn is_over(&self) -> bool {
        self.state == "done" || self.state == "failed"
    }
}

impl Snapshot {
    pub(crate) fn item(&self, name: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.name == name)
    }

    /// Whether all these images are done or failed.
    pub(crate) fn are_over(&self, names: &[String]) -> bool {
        names
            .iter()
            .all(|name| self.item(name).is_some_and(Item::is_over))
    }
}

/// The numbers behind the result that is shown.
#[derive(Debug, Deserialize)]
pub(crate) struct Maps {
    name: String,
    /// The segmentation network's map, row by row.
    pub(crate) segmentation: Vec<f32>,
    /// The product of cosine distances, row by row.
    pub(crate) dest: Vec<f32>,
    /// The image score.
    pub(crate) score: f32,
}

/// A browser window with the page. Clones are the same window.
#[derive(Clone)]
pub(crate) struct Page {
    client: Client,
    /// Where the driver listens.
    driver: u16,
    server: Arc<Server>,
    site: Arc<Site>,
    folder: Arc<Path>,
}

impl Page {
    pub(crate) fn new(
        client: Client,
        driver: u16,
        server: Arc<Server>,
        site: Arc<Site>,
        folder: &Path,
    ) -> Self {
        Self {
            client,
            driver,
            server,
            site,
            folder: folder.into(),
        }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// A folder for this test's files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens the page, with a query such as `?backend=cpu`.
    pub(crate) async fn open(&self, query: &str) -> Result<()> {
        self.open_address(&format!("{}{query}", self.server.url())).await
    }

    /// Opens another page.
    pub(crate) async fn open_address(&self, url: &str) -> Result<()> {
        let opened = self.client.goto(url).await;
        opened.with_context(|| format!("cannot open {url}"))
    }

    /// Opens a file of this machine.
    pub(crate) async fn open_file(&self, path: &Path) -> Result<()> {
        self.open_address(&format!("file://{}", path.display())).await
    }

    /// Opens the page and waits for the first heat map; the snapshot that showed it.
    pub(crate) async fn open_to_first_map(&self, query: &str, limit: Duration) -> Result<Snapshot> {
        self.open(query).await?;
        self.wait("the first heat map", limit, |page| page.shown.is_some())
            .await
    }

    /// Runs JavaScript.
    pub(crate) async fn execute(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        Ok(self.client.execute(script, arguments).await?)
    }

    /// Runs JavaScript that calls its last argument with the answer.
    pub(crate) async fn execute_async(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        Ok(self.client.execute_async(script, arguments).await?)
    }

    /// The tab that commands go to.
    pub(crate) async fn tab(&self) -> Result<WindowHandle> {
        Ok(self.client.window().await?)
    }

    /// Opens another tab, which commands go to from now on.
    pub(crate) async fn new_tab(&self) -> Result<WindowHandle> {
        let tab = self.client.new_window(true).await?.handle;
        self.show_tab(&tab).await?;
        Ok(tab)
    }

    /// Goes to a tab.
    pub(crate) async fn show_tab(&self, tab: &WindowHandle) -> Result<()> {
        Ok(self.client.switch_to_window(tab.clone()).await?)
    }

    /// Gives the browser a command of its developer tools.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Result<()> {
        let session = self.client.session_id().await?.context("there is no session")?;
        let body = json!({ "cmd": command, "params": parameters }).to_string();
        let mut driver = TcpStream::connect((Ipv4Addr::LOCALHOST, self.driver))?;
        driver.set_read_timeout(Some(SOON))?;
        write!(
            driver,
            "POST /session/{session}/goog/cdp/execute HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        BufReader::new(driver).read_line(&mut answer)?;
        ensure!(answer.contains(" 200 "), "{command} was answered {answer}");
        Ok(())
    }

    /// What the page shows now.
    pub(crate) async fn look(&self) -> Result<Snapshot> {
        serde_json::from_value(self.execute(LOOK, vec![]).await?)
            .context("the page shows something unexpected")
    }

    /// Looks until the page is as it should be.
    pub(crate) async fn wait(
        &self,
        what: &str,
        limit: Duration,
        is_so: impl Fn(&Snapshot) -> bool + Send,
    ) -> Result<Snapshot> {
        let end = Instant::now() + limit;
        loop {
            let snapshot = self.look().await?;
            if is_so(&snapshot) {
                return Ok(snapshot);
            }
            if Instant::now() > end {
                bail!("waited {limit:?} in vain for {what}; the page shows {snapshot:#?}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Looks with a script until what it gives is as it should be.
    pub(crate) async fn until(
        &self,
        script: &str,
        what: &str,
        limit: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let end = Instant::now() + limit;
        loop {
            let now = self.execute(script, vec![]).await?;
            if is_so(&now) {
                return Ok(now);
            }
            if Instant::now() > end {
                bail!("waited {limit:?} in vain for {what}; the page shows {now:#}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Gives files to the page as the file picker does; their names.
    pub(crate) async fn choose(&self, test_id: &str, files: &[PathBuf]) -> Result<Vec<String>> {
        let input = self.client.find(Locator::Css(&by_id(test_id))).await?;
        let paths: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
        input.send_keys(&paths.join("\n")).await?;
        let name = |file: &PathBuf| file.file_name().map(|name| name.to_string_lossy().into_owned());
        files
            .iter()
            .map(|file| name(file).context("a file has a name"))
            .collect()
    }

    /// Adds images to the queue and waits until each is done or failed; their entries.
    pub(crate) async fn analyse(&self, files: &[PathBuf], limit: Duration) -> Result<Vec<Item>> {
        let names = self.choose("file-input", files).await?;
        let what = format!("the end of {}", names.join(", "));
        let snapshot = self.wait(&what, limit, |page| page.are_over(&names)).await?;
        Ok(names
            .iter()
            .filter_map(|name| snapshot.item(name).cloned())
            .collect())
    }

    /// Gives the page more images than its list draws at once, and waits until all are over.
    pub(crate) async fn analyse_many(&self, files: &[PathBuf], limit: Duration) -> Result<()> {
        let over = |value: &Value| value.as_u64().unwrap_or_default();
        let all = over(&self.execute(OVER, vec![]).await?) + files.len() as u64;
        self.choose("file-input", files).await?;
        self.until(OVER, &format!("{all} images"), limit, |value| over(value) >= all)
            .await?;
        Ok(())
    }

    /// Selects an image of the queue and waits until the page shows it with its result, or with
    /// the reason why it has none.
    pub(crate) async fn select(&self, name: &str) -> Result<Snapshot> {
        self.click(&format!("{}[data-name=\"{name}\"]", by_id("queue-item")))
            .await?;
        self.wait(&format!("the result of {name}"), SOON, |page| {
            let has_result = page.shown.as_deref() == Some(name) && page.canvas.is_some();
            page.current.as_deref() == Some(name) && (has_result || !page.item_error.is_empty())
        })
        .await
    }

    /// Selects an image of the queue and reads its result.
    pub(crate) async fn maps_of(&self, name: &str) -> Result<Maps> {
        self.select(name).await?;
        let maps: Maps = serde_json::from_value(self.execute(MAPS, vec![]).await?)
            .with_context(|| format!("{name} has no result"))?;
        ensure!(
            maps.name == name,
            "selected {name}, but the page shows {}",
            maps.name
        );
        Ok(maps)
    }

    /// Clicks what the CSS selector finds, or the button in it.
    pub(crate) async fn click(&self, selector: &str) -> Result<()> {
        let script = "
            const found = document.querySelector(arguments[0]);
            const button = found?.matches('button') ? found : found?.querySelector('button') ?? found;
            button?.click();
            return button != null;
        ";
        let clicked = self.execute(script, vec![json!(selector)]).await?;
        ensure!(clicked == json!(true), "there is no {selector} to click");
        Ok(())
    }

    /// Chooses an entry of a menu by its value.
    pub(crate) async fn choose_entry(&self, test_id: &str, value: &str) -> Result<()> {
        self.unfold(test_id).await?;
        let menu = self.client.find(Locator::Css(&by_id(test_id))).await?;
        menu.select_by_value(value)
            .await
            .with_context(|| format!("{test_id} has no entry {value}"))
    }

    /// Opens what hides a control, such as "Advanced".
    pub(crate) async fn unfold(&self, test_id: &str) -> Result<()> {
        let script = "
            const folded = document.querySelector(arguments[0])?.closest('details');
            if (folded) folded.open = true;
        ";
        self.execute(script, vec![json!(by_id(test_id))])
            .await
            .map(|_| ())
    }

    /// Keeps a picture of the window.
    pub(crate) async fn screenshot(&self, name: &str) -> Result<()> {
        let folder = artefacts();
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join(format!("{name}.png"));
        fs::write(&path, self.client.screenshot().await?)?;
        println!("screenshot: {}", path.display());
        Ok(())
    }

    /// Says what there is to see after a failure, as far as it still can be seen.
    pub(crate) async fn report_failure(&self, name: &str) {
        match self.look().await {
            Ok(snapshot) => eprintln!("at the end the page shows {snapshot:#?}"),
            Err(error) => eprintln!("at the end the page cannot be read: {error:#}"),
        }
        if let Err(error) = self.screenshot(name).await {
            eprintln!("there is no screenshot: {error:#}");
        }
        eprintln!("requested: {:?}", self.server.requests());
    }
}

fn by_id(test_id: &str) -> String {
    format!("[data-testid=\"{test_id}\"]")
}

/// Checks that a message is one sentence for a visitor that contains the expected words.
pub(crate) fn check_sentence(message: &str, expected: &str) -> Result<()> {
    const LONGEST: usize = 300;
    let lower = message.to_lowercase();
    ensure!(
        lower.contains(expected),
        "the message should contain `{expected}`: {message}"
    );
    let technical = [
        "panicked",
        "unreachable",
        "jsvalue",
        "undefined",
        "error {",
        "runtimeerror",
    ];
    ensure!(
        message.len() < LONGEST && !technical.iter().any(|word| lower.contains(word)),
        "this is no sentence for a visitor: {message}"
    );
    Ok(())
}
