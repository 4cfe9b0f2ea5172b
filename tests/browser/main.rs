//! The built page in a real headless Chromium, compared with the native command line.
//!
//! Needs the page (`cargo xtask test` builds it; `DESTSEG_DIST` names another folder), Chromium
//! and `ChromeDriver`. What is missing is a failure with a sentence, never a skipped test.
//! Screenshots are kept in `target/browser-artefacts` or in `DESTSEG_ARTEFACTS`.

mod analysis;
mod bad_input;
mod camera;
mod compare;
mod dropped;
mod evaluate;
mod evaluate_maps;
mod familiarity;
mod harness;
mod images;
mod inside;
mod many;
mod native;
mod native_training;
mod npm;
mod offline;
mod page;
mod resilience;
mod room;
mod site;
mod speed;
mod spy;
mod study;
mod threshold;
mod tour;
mod train;
mod train_faults;
mod train_gpu;
mod train_input;
mod train_memory;
mod train_paper;
mod train_preview;
mod welcome;

#[path = "../support/formula.rs"]
mod formula;
#[path = "../support/zip.rs"]
mod pack;
#[path = "../support/torch.rs"]
mod torch;
