//! An image of another part: neither good nor defective, and a way to its own inspector.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::harness::{Gpu, in_browser};
use crate::page::{Page, SLOW, SOON};

/// What the page says of the image on show, and of it in the queue.
const READ: &str = "const text = (query) => document.querySelector(query)?.textContent; \
    return [text('[data-testid=verdict]'), text('.queue-item.selected .badge'), \
        document.querySelector('.regions') != null, \
        document.querySelector('[data-testid=cannot-tell]') != null];";

#[test]
fn another_part_is_unfamiliar_and_leads_to_training() {
    in_browser(Gpu::None, on_the_cpu);
}

#[test]
fn another_part_is_unfamiliar_on_webgpu() {
    in_browser(Gpu::SwiftShader, on_webgpu);
}

async fn on_the_cpu(page: Page) -> Result<()> {
    page.open_to_first_map("", SOON).await?;
    // the example that the page opens with is of its model's part
    let own = page.execute(READ, vec![]).await?;
    ensure!(
        own[0] == "Defect found" && own[3] == false,
        "of its own example it says {own}"
    );
    shows_another_part(&page).await?;
    page.screenshot("unfamiliar").await?;
    let button = page
        .execute(
            "return document.querySelector('[data-testid=train-on]').textContent",
            vec![],
        )
        .await?;
    ensure!(button == "Train on these 2 photos", "the button says {button}");
    page.click("[data-testid=train-on]").await?;
    let script = "return document.querySelector('[data-testid=good-count]')?.textContent ?? ''";
    page.until(script, "both photos among the good images", SOON, |count| {
        count == "2 ready"
    })
    .await?;
    Ok(())
}

async fn on_webgpu(page: Page) -> Result<()> {
    page.open_to_first_map("?backend=webgpu", SLOW).await?;
    shows_another_part(&page).await
}

/// A good and a defective circuit, shown to the model of fabric.
async fn shows_another_part(page: &Page) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/examples/circuit");
    let images = ["good_000.png", "solder_bridge_009.png"].map(|name| folder.join(name));
    page.analyse(&images, SLOW).await?;
    page.select("good_000.png").await?;
    let read = page.execute(READ, vec![]).await?;
    ensure!(
        read[0] == "Unfamiliar part" && read[1] == "unfamiliar" && read[2] == false,
        "of another part it says {read}"
    );
    Ok(())
}
