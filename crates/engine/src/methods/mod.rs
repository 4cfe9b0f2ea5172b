//! The methods, one folder each: how it is trained and detects, and one sentence about it. `DeSTSeg` and STPM share the
//! settings in `config` and the trainer in `train`; `patchcore`, `draem` and `dsr` have their own. [`ALL`] and [`INFOS`] list them.

mod beside;
pub mod destseg;
pub mod draem;
#[cfg(not(target_family = "wasm"))]
pub mod dsr;
#[cfg(target_family = "wasm")]
#[path = "dsr/absent.rs"]
pub mod dsr;
pub mod export;
pub mod file;
pub mod header;
#[cfg(not(target_family = "wasm"))]
mod measure;
pub mod open;
pub mod patchcore;
pub mod stpm;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::arch::weights::Weights;
use crate::backend::device::Device;
use crate::config::{InputLayout, Method, Preset, TeacherKind};
use crate::data::image::RgbImage;
use crate::files::storage::Precision;
use crate::inspect::{Detector, Pending};
use crate::synthesis::TextureSource;
use crate::{Error, Result};
use file::ModelFile;

/// What a method is, without the code that runs it: the page's user interface knows no more.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// Its name in files and flags.
    pub method: Method,
    /// What it does, in one sentence for people.
    pub explanation: &'static str,
    /// Whether there is a student to look inside.
    pub has_student: bool,
    /// How people train it with nothing but good images; none for a method that is only fine-tuned or trained with
    /// settings of its own.
    pub baseline: Option<BaselineInfo>,
}

/// How a method becomes a baseline beside another model, in words.
#[derive(Debug, Clone, Copy)]
pub struct BaselineInfo {
    /// What is done, as a button says it.
    pub action: &'static str,
    /// What a page changes in the settings: names as [`change_setting`] takes them.
    pub in_page: &'static [(&'static str, f64)],
    /// A setting that people choose.
    pub choice: Option<Choice>,
    /// Whether the training computes on the CPU whatever device there is.
    pub cpu_only: bool,
}

/// A method with its code.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The method in words.
    pub info: Info,
    /// How it is trained with nothing but good images, if its [`Info::baseline`] says that it can be.
    pub baseline: Option<BaselineEntry>,
}

/// How a method becomes a baseline beside another model.
#[derive(Debug, Clone, Copy)]
pub struct BaselineEntry {
    /// The settings of a preset, as a table. The table, or its part `model`, has `teacher`, `input_size` and `fit`.
    pub settings: fn(Preset) -> Value,
    /// Begins a training with these settings.
    pub begin: fn(Value, Material) -> Result<Box<dyn Training>>,
}

/// A setting that people choose among a few values.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// Its name.
    pub setting: &'static str,
    /// What it says beside the control.
    pub label: &'static str,
    /// The values, each in words.
    pub values: &'static [(f64, &'static str)],
}

/// What a training works on.
#[derive(Debug)]
pub struct Material {
    /// Good images of the input's size.
    pub images: Vec<Arc<RgbImage>>,
    /// Folded weights of the teacher.
    pub teacher: Weights,
    /// What the synthetic defects are filled with that thresholds are found with.
    pub textures: TextureSource,
    /// Where to compute.
    pub device: Device,
}

/// Progress of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, in words.
    pub doing: &'static str,
    /// How much of it is done.
    pub done: usize,
    /// How much there is to do.
    pub total: usize,
}

/// A method's training, one step at a time.
pub trait Training {
    /// Does the next step; `None` once all are done.
    fn step(&mut self) -> Pending<'_, Option<Progress>>;

    /// Good images that the model is made of, without those held out for its threshold.
    fn images(&self) -> usize;

    /// Patches in the memory bank, and patches that they were chosen from; none for a method without a bank.
    fn kept(&self) -> Option<(usize, usize)> {
        None
    }

    /// The calibrated model. `data` and `device` say of what and where it was made.
    fn finish<'a>(
        &'a mut self,
        precision: Precision,
        data: &'a str,
        device: &'a str,
    ) -> Pending<'a, ModelFile>;
}

/// What images a training needs: the teacher's kind, the side of the input in pixels, and how images are laid out.
///
/// # Errors
/// [`Error::Config`] if the settings do not say it.
pub fn input_of(settings: &Value) -> Result<(TeacherKind, usize, InputLayout)> {
    #[derive(serde::Deserialize)]
    struct Input {
        teacher: TeacherKind,
        input_size: usize,
        #[serde(default)]
        fit: InputLayout,
    }
    let table = settings.get("model").unwrap_or(settings);
    let input: Input = read_settings(table.clone())?;
    Ok((input.teacher, input.input_size, input.fit))
}

/// Settings of a type from a table of them.
fn read_settings<T: serde::de::DeserializeOwned>(table: Value) -> Result<T> {
    serde_json::from_value(table).map_err(|err| Error::Config(format!("the settings cannot be read: {err}")))
}

/// Changes a setting of a table by its name, with dots between the tables: `training.student.steps`. A whole number stays
/// one.
///
/// # Errors
/// [`Error::Config`] for a name that the table does not have.
pub fn change_setting(settings: &mut Value, name: &str, value: f64) -> Result<()> {
    let unknown = || Error::Config(format!("there is no setting `{name}`"));
    let (path, last) = name.rsplit_once('.').unwrap_or(("", name));
    let mut table: &mut Map<String, Value> = settings.as_object_mut().ok_or_else(unknown)?;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        table = table
            .get_mut(part)
            .and_then(Value::as_object_mut)
            .ok_or_else(unknown)?;
    }
    let own = table.get_mut(last).ok_or_else(unknown)?;
    *own = match own.is_u64() {
        true => (value as u64).into(),
        false => value.into(),
    };
    Ok(())
}

/// All methods.
pub const INFOS: [Info; 5] = [destseg::INFO, stpm::INFO, patchcore::INFO, draem::INFO, dsr::INFO];

/// All methods with their code.
pub const ALL: [Entry; 5] = [
    destseg::ENTRY,
    stpm::ENTRY,
    patchcore::ENTRY,
    draem::ENTRY,
    dsr::ENTRY,
];

/// What a method is.
pub fn info(method: Method) -> &'static Info {
    const ALL_INFOS: &[Info] = &INFOS;
    let found = ALL_INFOS.iter().find(|info| info.method == method);
    // a test makes sure that every method has one
    found.unwrap_or(&ALL_INFOS[0])
}

/// A method with its code.
pub fn entry(method: Method) -> &'static Entry {
    const ENTRIES: &[Entry] = &ALL;
    let found = ENTRIES.iter().find(|entry| entry.info.method == method);
    found.unwrap_or(&ENTRIES[0])
}

/// The model of a file on `device`, ready to look at images; `teacher` holds folded weights, needed if the file carries
/// none.
///
/// # Errors
/// [`Error::Model`] naming what is missing or misshapen.
pub fn detector(file: &ModelFile, teacher: Option<&Weights>, device: &Device) -> Result<Detector> {
    // not in the table of entries: who only inspects links no training
    let of_method = match file.header.method() {
        Method::Destseg | Method::Stpm => destseg::detector,
        Method::Patchcore => patchcore::detector,
        Method::Draem => draem::detector,
        Method::Dsr => dsr::detector,
    };
    let detector = of_method(file, teacher, device)?;
    Ok(detector.with_files(file.header.files().cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_an_entry() {
        for method in Method::ALL {
            let own = ALL.iter().filter(|entry| entry.info.method == method);
            assert_eq!(own.count(), 1, "{method:?}");
            let own = INFOS.iter().filter(|info| info.method == method);
            assert_eq!(own.count(), 1, "{method:?}");
            assert!(info(method).explanation.ends_with('.'));
            assert_eq!(info(method).baseline.is_some(), entry(method).baseline.is_some());
            if let (Some(baseline), Some(words)) = (entry(method).baseline, info(method).baseline) {
                let mut settings = (baseline.settings)(Preset::Compact);
                for (name, value) in words.in_page {
                    change_setting(&mut settings, name, *value).expect("is a setting");
                }
                if let Some(choice) = words.choice {
                    change_setting(&mut settings, choice.setting, choice.values[0].0).expect("is a setting");
                }
                assert!(change_setting(&mut settings, "no.such", 1.0).is_err());
                let (teacher, side, _) = input_of(&settings).expect("says it");
                assert_eq!(teacher, TeacherKind::EfficientnetLite0);
                assert!(side.is_multiple_of(32) && side >= 128, "{side}");
            }
        }
        assert_eq!(ALL.len(), Method::ALL.len());
    }
}
