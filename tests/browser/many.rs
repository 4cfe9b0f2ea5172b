//! An archive of very many photos: each is analysed, and the engine's memory stays flat.

use std::io::Cursor;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use image::{ImageFormat, Rgb, RgbImage};

use crate::harness::{Gpu, in_browser, number};
use crate::pack;
use crate::page::{Page, SOON};
use crate::spy;
use crate::train_memory::{PARTS, check};

/// Photos, where `DESTSEG_PHOTOS` says nothing.
const PHOTOS: usize = 60;
/// Photos before the memory is first looked at.
const WARM: usize = 10;
/// How long one may take, on a machine that does other things, too.
const EACH: Duration = Duration::from_secs(1);

const OVER: &str = "return [...document.querySelectorAll('[data-testid=queue-item]')]
    .filter(item => item.dataset.state === 'done').length";

#[test]
fn an_archive_of_many_photos() {
    in_browser(Gpu::None, many);
}

/// A photo that no other equals.
fn photo(index: usize) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let image = RgbImage::from_fn(320, 240, |x, y| {
        Rgb([
            (x + index as u32) as u8,
            (y + index as u32 / 256) as u8,
            (x ^ y) as u8,
        ])
    });
    image.write_to(&mut bytes, ImageFormat::Jpeg)?;
    Ok(bytes.into_inner())
}

async fn many(page: Page) -> Result<()> {
    let photos = number("DESTSEG_PHOTOS").unwrap_or(PHOTOS);
    spy::install(&page, "")?;
    let files: Vec<(String, Vec<u8>)> = (0..photos)
        .map(|index| Ok((format!("photos/{index:05}.jpg"), photo(index)?)))
        .collect::<Result<_>>()?;
    let files: Vec<pack::File<'_>> = files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice(), false))
        .collect();
    let archive = page.folder().join("photos.zip");
    std::fs::write(&archive, pack::zip(&files, false, ""))?;
    page.open_to_first_map("?backend=cpu&model=fabric", SOON).await?;
    page.choose("file-input", &[archive]).await?;
    let first = u64::try_from(WARM)?;
    let last = u64::try_from(photos)?;
    let mut borders = Vec::new();
    for part in 0..=PARTS as u64 {
        let wanted = first + (last - first) * part / PARTS as u64;
        let limit = EACH * u32::try_from(photos)?;
        page.until(OVER, &format!("{wanted} photos"), limit, |over| {
            over.as_u64() >= Some(wanted)
        })
        .await?;
        borders.push(spy::memory(&page).await?);
    }
    check(&format!("{photos} photos"), &borders)?;
    // the page has not lost what it was told first
    let shown = page.select("photos/00000.jpg").await;
    let shown = match shown {
        Ok(shown) => shown,
        // shorter names are shown where all lie in one folder
        Err(_) => page.select("00000.jpg").await?,
    };
    ensure!(shown.item_error.is_empty(), "{}", shown.item_error);
    shown.canvas.context("no picture")?;
    Ok(())
}
