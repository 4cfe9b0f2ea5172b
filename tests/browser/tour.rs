//! The words that explain: the guided tour, and the page on how it works.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::harness::{Gpu, in_browser};
use crate::page::{Page, SOON};

/// Steps of the tour.
const STEPS: usize = 5;
const WORDS: &str = "return document.querySelector('[data-testid=tour]')?.innerText ?? '';";

#[test]
fn the_tour_has_five_steps() {
    in_browser(Gpu::None, toured);
}

async fn toured(page: Page) -> Result<()> {
    page.open_to_first_map("?backend=cpu&model=fabric", SOON).await?;
    page.click("[data-testid=tour-begin]").await?;
    let mut seen: Vec<String> = Vec::new();
    for step in 0..STEPS {
        let words = page
            .until(WORDS, "another step of the tour", SOON, |words| {
                let words = words.as_str().unwrap_or_default();
                words.len() > 100 && seen.iter().all(|seen| seen != words)
            })
            .await?;
        seen.push(words.as_str().context("no words")?.to_owned());
        page.screenshot(&format!("tour-{step}")).await?;
        page.click("[data-testid=tour-next]").await?;
    }
    page.until(WORDS, "the end of the tour", SOON, |words| *words == json!(""))
        .await?;
    Ok(())
}

/// What the page on how it works shows, and whether it fits its window.
const ARTICLE: &str = "
    const article = document.querySelector('main.article');
    const scheme = document.querySelector('svg.scheme')?.getBoundingClientRect();
    return {
        title: document.title, words: article?.innerText.split(/\\s+/).length ?? 0,
        steps: [...document.querySelectorAll('h2')].filter(head => /^[0-9]/.test(head.innerText)).length,
        methods: [...document.querySelectorAll('dt')].map(term => term.innerText),
        scheme: scheme ? scheme.width > 200 && scheme.height > 60 : false,
        scripts: document.scripts.length, fits: document.documentElement.scrollWidth <= innerWidth,
        styled: article ? getComputedStyle(article).maxWidth !== 'none' : false,
    };
";

#[test]
fn how_it_works_needs_no_program() {
    in_browser(Gpu::None, told);
}

async fn told(page: Page) -> Result<()> {
    page.open("?backend=cpu&model=none").await?;
    let link = "return document.querySelector('a[href=\"how-it-works.html\"]') != null;";
    page.until(link, "a link to how it works", SOON, |found| {
        *found == json!(true)
    })
    .await?;
    // in a tab of its own, so that the inspection is not left; the driver stays in this one
    let same_tab = "const link = document.querySelector('a[href=\"how-it-works.html\"]');
        const target = link.target; link.removeAttribute('target'); return target;";
    let target = page.execute(same_tab, vec![]).await?;
    ensure!(target == "_blank", "the link leaves the page: target {target}");
    page.click("a[href=\"how-it-works.html\"]").await?;
    let article = page
        .until(ARTICLE, "the article", SOON, |article| {
            article["steps"].as_u64() > Some(0)
        })
        .await?;
    ensure!(article["scripts"] == 0, "it needs a program: {article:#}");
    ensure!(
        article["steps"] == 5 && article["words"].as_u64() > Some(300) && article["scheme"] == true,
        "{article:#}"
    );
    let methods = article["methods"].as_array().context("no methods")?;
    for method in ["STPM", "PatchCore"] {
        ensure!(methods.contains(&json!(method)), "{article:#}");
    }
    ensure!(
        article["fits"] == true && article["styled"] == true,
        "{article:#}"
    );
    page.screenshot("how-it-works").await?;
    page.click("main.article a[href=\"./\"]").await?;
    page.wait("the inspection", SOON, |page| !page.backend.is_empty())
        .await?;
    Ok(())
}
