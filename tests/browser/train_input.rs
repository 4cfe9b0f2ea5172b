//! What can be given as good images: archives and folders, few and many, good and hostile.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::dropped::drop_folder;
use crate::harness::{Gpu, in_browser};
use crate::pack::{File, zip};
use crate::page::{Page, SLOW, SOON, check_sentence};
use crate::room::{self, enter, good_images, until, was_fluid, watch_long_tasks};

#[test]
fn archives_of_images_are_opened_and_hostile_ones_are_said() {
    in_browser(Gpu::None, archives);
}

#[test]
fn two_thousand_images_stream_in() {
    in_browser(Gpu::None, many);
}

#[test]
fn folders_are_dropped_and_three_images_are_too_few() {
    in_browser(Gpu::None, folders);
}

/// A picture that no other number gives.
fn picture(number: u32, side: u32) -> Result<Vec<u8>> {
    let image = image::RgbImage::from_fn(side, side, |x, y| {
        let value = (x * 7 + y * 13 + number * 31) as u8;
        image::Rgb([value, (number % 251) as u8, (number / 251) as u8 ^ value])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

fn write(page: &Page, name: &str, bytes: &[u8]) -> Result<std::path::PathBuf> {
    let path = page.folder().join(name);
    fs::write(&path, bytes)?;
    Ok(path)
}

async fn archives(page: Page) -> Result<()> {
    enter(&page, "?backend=cpu").await?;
    let pictures: Vec<Vec<u8>> = (0..99).map(|number| picture(number, 40)).collect::<Result<_>>()?;
    let names: Vec<String> = (0..99)
        .map(|number| format!("line/day {}/{number:03}.png", number % 3))
        .collect();
    let mut files: Vec<File<'_>> = names
        .iter()
        .zip(&pictures)
        .enumerate()
        .map(|(index, (name, picture))| (name.as_str(), picture.as_slice(), index % 2 == 0))
        .collect();
    let broken = &pictures[0][..pictures[0].len() / 2];
    files.insert(50, ("line/broken.png", broken, true));
    files.extend([
        ("__MACOSX/line/._000.png", b"litter".as_slice(), true),
        ("line/.DS_Store", b"litter", false),
        ("line/notes.txt", b"no picture", true),
    ]);
    let archive = write(&page, "good.zip", &zip(&files, false, "a comment"))?;
    page.choose("good-input", &[archive]).await?;
    let room = until(&page, "a hundred images", SOON, |room| {
        room["count"] == "99 ready, 1 not usable"
    })
    .await?;
    let good = room["good"].as_array().context("a list")?;
    ensure!(
        good[0][0] == "line/broken.png" && good[0][1] == "refused",
        "{:#}",
        good[0]
    );
    check_sentence(good[0][2].as_str().context("why")?, "cut off")?;
    let notice = "Notes.txt is not an image and was skipped.";
    ensure!(
        room["notices"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| same(one, notice))),
        "{room:#}"
    );
    ensure!(room["can_train"] == true, "{room:#}");
    page.screenshot("train-archive").await?;

    // hostile ones: each is said in a sentence, and what was collected stays
    let zeros = vec![0; 40_000_000];
    let bomb: [File<'_>; 2] = [
        ("bomb.png", &zeros, true),
        ("../../../odd\\..\\path.png", &picture(500, 40)?, false),
    ];
    let archive = write(&page, "bomb.zip", &zip(&bomb, true, ""))?;
    page.choose("good-input", &[archive]).await?;
    let room = until(&page, "the bomb", SOON, |room| {
        room["count"] == "100 ready, 2 not usable"
    })
    .await?;
    let named = |name: &str| {
        let mut good = room["good"].as_array().into_iter().flatten();
        good.rfind(|image| image[0] == name).cloned()
    };
    // it is unpacked, alone, because masks shrink as much
    let refused = named("bomb.png").context("the bomb is not listed")?;
    check_sentence(refused[2].as_str().unwrap_or_default(), "not an image")?;

    // an archive that lies about its sizes is unpacked no further than it says
    let mut lying = zip(
        &[
            ("lie.png", &zeros[..9_000_000], true),
            ("fine.png", &picture(501, 40)?, true),
        ],
        false,
        "",
    );
    let directory = find(&lying, b"PK\x01\x02").context("a directory")?;
    lying[directory + 24..directory + 28].copy_from_slice(&1000_u32.to_le_bytes());
    let archive = write(&page, "lie.zip", &lying)?;
    page.choose("good-input", &[archive]).await?;
    let room = until(&page, "the lie", SOON, |room| {
        room["count"] == "101 ready, 3 not usable"
    })
    .await?;
    let lie = room["good"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|image| image[0] == "lie.png");
    check_sentence(
        lie.context("not listed")?[2].as_str().unwrap_or_default(),
        "damaged",
    )?;

    for (name, bytes, expected) in [
        (
            "none.zip",
            zip(&[("a.txt", b"a", false)], false, ""),
            "holds no images",
        ),
        ("cut.zip", lying[..lying.len() - 40].to_vec(), "cut off"),
        ("noise.zip", picture(1, 40)?, "no zip archive"),
    ] {
        let archive = write(&page, name, &bytes)?;
        page.choose("good-input", &[archive]).await?;
        let room = until(&page, name, SOON, |room| {
            let notices = room["notices"].as_array().into_iter().flatten();
            notices
                .into_iter()
                .any(|notice| notice.as_str().is_some_and(|text| text.contains(expected)))
        })
        .await?;
        for notice in room["notices"].as_array().into_iter().flatten() {
            check_sentence(notice.as_str().unwrap_or_default(), "")?;
        }
    }
    let room = room::shown(&page).await?;
    ensure!(room["count"] == "101 ready, 3 not usable", "{room:#}");
    page.screenshot("train-archive-hostile").await
}

fn same(notice: &Value, expected: &str) -> bool {
    notice
        .as_str()
        .is_some_and(|text| text.to_lowercase().contains(&expected.to_lowercase()))
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

async fn many(page: Page) -> Result<()> {
    const MANY: u32 = 2000;
    enter(&page, "?backend=cpu&steps=2-2&batch=2&side=64").await?;
    let pictures: Vec<Vec<u8>> = (0..MANY)
        .map(|number| picture(number, 96))
        .collect::<Result<_>>()?;
    let names: Vec<String> = (0..MANY).map(|number| format!("{number:04}.png")).collect();
    let files: Vec<File<'_>> = names
        .iter()
        .zip(&pictures)
        .map(|(name, picture)| (name.as_str(), picture.as_slice(), true))
        .collect();
    let archive = write(&page, "many.zip", &zip(&files, false, ""))?;
    for round in 1.. {
        watch_long_tasks(&page).await?;
        let start = std::time::Instant::now();
        page.choose("good-input", std::slice::from_ref(&archive)).await?;
        let room = until(&page, "two thousand images", SLOW, |room| {
            room["count"] == "2000 ready"
        })
        .await?;
        println!(
            "2000 images of a zip archive were read in {:.1} s",
            start.elapsed().as_secs_f64()
        );
        let listed = room["good"].as_array().map_or(0, Vec::len);
        ensure!(
            (1..200).contains(&listed),
            "{listed} thumbnails are shown at once"
        );
        if was_fluid(&page, "2000 images were read", round).await? {
            break;
        }
        page.click("[data-testid=good-clear]").await?;
    }
    let heap = page
        .execute("return performance.memory.usedJSHeapSize", vec![])
        .await?;
    println!(
        "script memory of the page: {:.0} MB",
        heap.as_f64().unwrap_or_default() / 1e6
    );
    // it trains on them, too
    page.click("[data-testid=train]").await?;
    until(&page, "a trained inspector", SLOW, |room| {
        !room["trained"].is_null()
    })
    .await?;
    Ok(())
}

async fn folders(page: Page) -> Result<()> {
    enter(&page, "?backend=cpu").await?;
    let pictures = [1, 2, 3]
        .map(|number| picture(number, 40))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let [one, two, three] = &pictures[..] else {
        bail!("three pictures");
    };
    let files: [(&str, &[u8]); 5] = [
        ("parts/one.png", one),
        ("parts/.hidden.png", two),
        ("parts/readme.md", b"words"),
        ("parts/deep/er/two.png", two),
        ("parts/three.png", three),
    ];
    drop_folder(&page, &files).await?;
    let room = room::read(&page, 3).await?;
    let names: Vec<&str> = room["good"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|image| image[0].as_str())
        .collect();
    ensure!(
        names == ["parts/deep/er/two.png", "parts/one.png", "parts/three.png"],
        "{names:?}"
    );
    ensure!(
        room["notices"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| same(one, "readme.md is not an image"))),
        "{room:#}"
    );
    // three are too few, and the page says how many are missing
    ensure!(room["can_train"] == false, "{room:#}");
    check_sentence(
        room["estimate"].as_str().unwrap_or_default(),
        "add 1 more good image first",
    )?;
    check_sentence(room["advice"].as_str().unwrap_or_default(), "at least 4")?;
    let more = good_images(&page)?;
    let room = room::collect_more(&page, &more[..1], 4).await?;
    ensure!(room["can_train"] == true, "{room:#}");
    check_sentence(room["advice"].as_str().unwrap_or_default(), "about 20")
}
