//! The built page in a real headless Chromium, compared with the native command line.
//!
//! Needs the page (`cargo xtask test` builds it; `DESTSEG_DIST` names another folder), Chromium
//! and `ChromeDriver`. What is missing is a failure with a sentence, never a skipped test.
//! Screenshots are kept in `target/browser-artefacts` or in `DESTSEG_ARTEFACTS`.

mod analysis;
mod bad_input;
mod harness;
mod images;
mod inside;
mod native;
mod page;
mod resilience;
mod site;
mod teach;

#[path = "../support/torch.rs"]
mod torch;
