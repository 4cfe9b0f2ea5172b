//! The page's figures are those that the same code finds natively in the page's own maps: nothing but the
//! networks' arithmetic differs between page and command line.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use destseg_engine::backend::device::Device;
use destseg_engine::data::annotations::MarkFile;
use destseg_engine::data::map::AnomalyMap;
use destseg_engine::evaluation::{Evaluation, Metrics, Prediction, Session, Subject};
use destseg_engine::methods;
use destseg_engine::methods::file::{ModelFile, parse_teacher};

use crate::evaluate::{data, enter, until};
use crate::harness::{Gpu, in_browser};
use crate::page::{Page, SOON};

/// Figures of the same maps differ by this much at most.
const APART: f64 = 1e-6;

#[test]
fn the_same_maps_give_the_same_figures() {
    in_browser(Gpu::None, measured);
}

async fn measured(page: Page) -> Result<()> {
    let (root, archive) = data(&page)?;
    enter(&page, &archive).await?;
    page.click("[data-testid=evaluate-begin]").await?;
    until(&page, "figures", |room| room["done"] == true).await?;
    let saved = page.execute("return destseg.saved('json')", vec![]).await?;
    let saved: Evaluation = serde_json::from_str(saved.as_str().context("nothing is saved")?)?;

    // the same images in the inspection, whose maps can be read
    page.click("[data-testid=evaluate-open]").await?;
    let mut copies = Vec::new();
    for image in &saved.images {
        let copy = page.folder().join(image.name.replace('/', "-"));
        fs::copy(root.join(&image.name), &copy)?;
        copies.push(copy);
    }
    page.analyse(&copies, SOON).await?;

    let model = page
        .site()
        .models()
        .iter()
        .find(|model| model.file.id == "fabric");
    let model = page.site().path(&model.context("there is no fabric")?.file.file);
    let file = ModelFile::parse(&fs::read(model)?)?;
    let (_, teacher) = parse_teacher(&fs::read(page.site().first_teacher()?)?)?;
    // only its thresholds and its shape are asked for
    let detector = methods::detector(&file, Some(&teacher), &Device::Cpu)?;
    let mut session = Session::new(&detector);
    let side = file.header.input_size();
    for (place, image) in saved.images.iter().enumerate() {
        let maps = page.maps_of(&image.name.replace('/', "-")).await?;
        ensure!(
            image.score.is_some_and(|score| (score - maps.score).abs() < 1e-6),
            "{}: {:?} is measured, {} shown",
            image.name,
            image.score,
            maps.score
        );
        let map = |values| AnomalyMap::new(side, side, values).context("a map has another size");
        let seen = Prediction {
            size: image.size,
            picture: Vec::new(),
            milliseconds: 0.0,
            score: maps.score,
            dest_score: image.dest_score.context("there is no score")?,
            distance: image.distance,
            difference: None,
            segmentation: Some(map(maps.segmentation)?),
            dest: map(maps.dest)?,
        };
        let mask = image
            .name
            .replace("test/", "ground_truth/")
            .replace(".png", "_mask.png");
        let mask = fs::read(root.join(mask)).ok();
        let subject = Subject {
            path: &image.name,
            name: &image.name,
            class: &image.class,
            image: &[],
            masks: &mask
                .iter()
                .map(|bytes| MarkFile {
                    name: "mask.png",
                    bytes: Ok(bytes),
                })
                .collect::<Vec<_>>(),
        };
        session.take(place, subject, Ok(seen))?;
    }
    let native = session.finish("fabric", "Fabric", Vec::new());
    let pairs = [
        (&saved.report.segmentation, &native.report.segmentation),
        (&Some(saved.report.dest), &Some(native.report.dest)),
    ];
    for (page, native) in pairs {
        let (page, native) = (page.as_ref().context("none")?, native.as_ref().context("none")?);
        for (name, (page, native)) in Metrics::NAMES
            .into_iter()
            .zip(page.values().into_iter().zip(native.values()))
        {
            let (page, native) = (page.context(name)?, native.context(name)?);
            println!("{name}: page {page}, natively {native}");
            ensure!((page - native).abs() < APART, "{name}: {page} is not {native}");
        }
    }
    for (page, native) in saved.images.iter().zip(&native.images) {
        ensure!(
            (&page.found, &page.truth, &page.instances) == (&native.found, &native.truth, &native.instances),
            "{}: outlines differ",
            page.name
        );
    }
    Ok(())
}
