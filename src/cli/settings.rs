//! The settings of `destseg train`: a preset or a file, with flags on top.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::common::read_text;
use super::number::whole;
use destseg_engine::Error;
use destseg_engine::config::{
    Ablation, AnomalyKind, AugmentConfig, InputLayout, MOST_BATCH, MOST_SEED, MOST_STEPS, Method,
    ModelConfig, Preset, Settings, Suggestion, TrainConfig,
};
use destseg_engine::methods::{self, BaselineEntry};

/// Formats of a settings file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    #[default]
    Toml,
    Json,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Network and recipe to start from; unless given, standard for DeSTSeg on large photos, else compact.
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Which published method to follow with the preset's teacher.
    #[arg(long, value_enum, default_value_t)]
    method: Method,
    /// The paper's components that stay, of den, ed and seg: denoising, encoder-decoder,
    /// segmentation network; or none.
    #[arg(long, value_name = "COMPONENTS")]
    ablation: Option<Ablation>,
    /// Settings file (.toml or .json), such as training writes beside its model, instead of a
    /// preset; flags come on top.
    #[arg(long, conflicts_with_all = ["preset", "method", "ablation"])]
    config: Option<PathBuf>,
    /// Change any setting by its name in the settings file, for example
    /// `training.student.learning_rate=0.2`; can be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Seed of every random number.
    #[arg(long, value_parser = whole(0..=MOST_SEED))]
    seed: Option<u64>,
    /// Images per step.
    #[arg(long, value_parser = whole(2..=MOST_BATCH))]
    batch: Option<usize>,
    /// Steps of stage 1.
    #[arg(long, value_parser = whole(0..=MOST_STEPS))]
    student_steps: Option<usize>,
    /// Steps of stage 2.
    #[arg(long, value_parser = whole(0..=MOST_STEPS))]
    segmentation_steps: Option<usize>,
    /// How images that are not square are shown to the network; unless given, the presets compact and
    /// standard show long ones in strips.
    #[arg(long, value_enum)]
    fit: Option<InputLayout>,
    /// Rotate good images by random multiples of 90 degrees.
    #[arg(long)]
    rotate_90: bool,
    /// Rotate good images by up to this many degrees either way.
    #[arg(long)]
    rotate: Option<f32>,
    /// Fraction of all patches that `--method patchcore` keeps in its memory bank.
    #[arg(long, value_name = "RATIO")]
    coreset: Option<f64>,
}

impl Args {
    /// The settings for a data set called `category` with these good images.
    pub(super) fn settings(&self, category: &str, images: &[PathBuf]) -> Result<Settings> {
        let mut settings = match &self.config {
            Some(path) => Settings::read(path)?,
            None => self.start(category, images),
        };
        for assignment in &self.set {
            settings = settings.with(assignment)?;
        }
        let Settings { model, training } = &mut settings;
        let set = |target: &mut usize, flag: Option<usize>| *target = flag.unwrap_or(*target);
        set(&mut training.batch, self.batch);
        set(&mut training.student.steps, self.student_steps);
        set(&mut training.segmentation.steps, self.segmentation_steps);
        training.seed = self.seed.unwrap_or(training.seed);
        training.augment.rotate_90 |= self.rotate_90;
        training.augment.rotate = self.rotate.unwrap_or(training.augment.rotate);
        model.fit = self.fit.unwrap_or(model.fit);
        // last: what is left out stays out, whatever was set
        if let Some(ablation) = self.ablation {
            ablation.apply(model, training);
        }
        model.validate()?;
        training.validate()?;
        Ok(settings)
    }

    /// Method and settings, if the method has others than those of a student and a segmentation network.
    pub(super) fn baseline(&self) -> Result<Option<(Method, BaselineEntry, serde_json::Value)>> {
        if matches!(self.method, Method::Draem | Method::Dsr) && self.preset == Some(Preset::Standard) {
            bail!(
                "{} has no preset standard: choose compact or paper",
                self.method.label()
            );
        }
        let entry = methods::entry(self.method);
        let own = entry.baseline.filter(|_| !entry.info.has_student);
        let mut settings = own
            .map(|own| (own.settings)(self.preset.unwrap_or_default()))
            .unwrap_or_default();
        if self.coreset.is_some() && settings.get("coreset").is_none() {
            bail!("--coreset belongs to --method patchcore");
        }
        let Some(own) = own else {
            return Ok(None);
        };
        let has_batch = setting(&mut settings, "training.batch").is_some();
        let trained = [
            ("--ablation", self.ablation.is_some()),
            ("--config", self.config.is_some()),
            ("--batch", self.batch.is_some() && !has_batch),
            ("--student-steps", self.student_steps.is_some()),
            ("--segmentation-steps", self.segmentation_steps.is_some()),
            ("--rotate-90", self.rotate_90),
            ("--rotate", self.rotate.is_some()),
        ];
        if let Some((flag, _)) = trained.into_iter().find(|&(_, given)| given) {
            bail!(
                "{flag} says how student and segmentation network are trained, but {} has neither: leave it out",
                self.method.label()
            );
        }
        for assignment in &self.set {
            settings = settings.with(assignment)?;
        }
        let flags = [
            ("fit", self.fit.map(serde_json::to_value).transpose()?),
            ("model.fit", self.fit.map(serde_json::to_value).transpose()?),
            ("coreset", self.coreset.map(serde_json::Value::from)),
            ("seed", self.seed.map(serde_json::Value::from)),
            ("training.seed", self.seed.map(serde_json::Value::from)),
            ("training.batch", self.batch.map(serde_json::Value::from)),
        ];
        for (name, value) in flags {
            // each is where the method has it
            if let (Some(own), Some(value)) = (setting(&mut settings, name), value) {
                *own = value;
            }
        }
        Ok(Some((self.method, own, settings)))
    }

    /// What the images suggest, where nobody says which preset to take.
    pub(super) fn suggested(&self, images: &[PathBuf]) -> Option<Suggestion> {
        let is_open = self.preset.is_none() && self.config.is_none() && self.method == Method::Destseg;
        suggestion(images).filter(|_| is_open)
    }

    fn start(&self, category: &str, images: &[PathBuf]) -> Settings {
        let suggested = self.suggested(images).map(|own| own.preset);
        let preset = self.preset.or(suggested).unwrap_or_default();
        if self.method == Method::Stpm {
            return Settings {
                model: ModelConfig::stpm(preset),
                training: TrainConfig::stpm(images.len()),
            };
        }
        // other methods have settings of their own, see `baseline`
        let Settings {
            mut model,
            mut training,
        } = Settings::preset(preset);
        if preset == Preset::Paper {
            training.augment = AugmentConfig::published(category).unwrap_or(training.augment);
        } else {
            model.fit = suggestion(images).map_or(model.fit, |own| own.fit);
            training.held_out = TrainConfig::share_held_out(images.len());
        }
        Settings { model, training }
    }
}

/// A setting by its name, with dots between the tables; none if the table does not have it.
fn setting<'a>(settings: &'a mut serde_json::Value, name: &str) -> Option<&'a mut serde_json::Value> {
    settings.pointer_mut(&format!("/{}", name.replace('.', "/")))
}

/// Whether a file holds settings of this program, of any method.
pub(super) fn is_settings(path: &Path) -> bool {
    serde_json::Value::read(path).is_ok_and(|settings| methods::input_of(&settings).is_ok())
}

/// What suits the sizes of some images; those that cannot be read are named later.
fn suggestion(images: &[PathBuf]) -> Option<Suggestion> {
    /// Images whose sizes are looked at.
    const MOST: usize = 100;
    let sizes: Vec<(u32, u32)> = images
        .iter()
        .take(MOST)
        .filter_map(|path| ::image::image_dimensions(path).ok())
        .collect();
    // native training takes the larger input in a quarter of an hour on two cores
    Suggestion::of(&sizes, true)
}

/// Settings as text: whole files and single assignments.
pub(super) trait SettingsText: Sized {
    /// Reads a TOML or, by its extension, a JSON file.
    fn read(path: &Path) -> Result<Self>;
    /// The settings as the text of a file.
    fn to_text(&self, format: Format) -> Result<String>;
    /// The settings with one of them changed by `NAME=VALUE`; the value is TOML, or a bare word.
    fn with(&self, assignment: &str) -> Result<Self>;
}

impl<T: Serialize + DeserializeOwned> SettingsText for T {
    fn read(path: &Path) -> Result<Self> {
        let text = read_text(
            path,
            "a settings file (.toml or .json), such as training writes beside its model",
        )?;
        let is_json = path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
        let parsed = if is_json {
            serde_json::from_str(&text).map_err(|err| err.to_string())
        } else {
            toml::from_str(&text).map_err(|err| err.to_string())
        };
        parsed
            .map_err(|reason| unreadable(&reason).in_file(path))
            .map_err(Into::into)
    }

    fn to_text(&self, format: Format) -> Result<String> {
        Ok(match format {
            Format::Toml => toml::to_string(self)?,
            Format::Json => serde_json::to_string_pretty(self)? + "\n",
        })
    }

    fn with(&self, assignment: &str) -> Result<Self> {
        let Some((name, value)) = assignment.split_once('=') else {
            bail!("`--set {assignment}` has no value: write it as NAME=VALUE");
        };
        let value = format!("value = {value}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| Value::String(value.to_owned()));
        let mut table = Table::try_from(self)?;
        let (path, last) = name.rsplit_once('.').unwrap_or(("", name));
        let mut inner = &mut table;
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let entry = inner.get_mut(part).and_then(Value::as_table_mut);
            inner = entry.ok_or_else(|| unknown(name))?;
        }
        // a kind's old name must change the entry with its new name
        let last = match AnomalyKind::from_id(last) {
            Some(kind) if path == KIND_SHARES => kind.id(),
            _ => last,
        };
        let before = inner.insert(last.to_owned(), number_like(value, inner.get(last)));
        drop(before);
        table
            .try_into()
            .map_err(|err| unreadable(&format!("{assignment}: {}", err.message())).into())
    }
}

/// Path of the shares of the kinds of synthetic defects.
const KIND_SHARES: &str = "training.synthesis.kinds";

/// `1` where a `1.0` is meant.
fn number_like(value: Value, before: Option<&Value>) -> Value {
    match (&value, before) {
        (Value::Integer(whole), Some(Value::Float(_))) => Value::Float(*whole as f64),
        _ => value,
    }
}

fn unreadable(reason: &str) -> Error {
    Error::Config(format!(
        "the settings cannot be read: {}",
        reason
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    ))
}

fn unknown(name: &str) -> Error {
    Error::Config(format!(
        "there is no setting `{name}`: see all of them with --print-config"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            model: ModelConfig::preset(Preset::Compact),
            training: TrainConfig::preset(Preset::Compact),
        }
    }

    #[test]
    fn files_of_both_formats_come_back() {
        let folder = tempfile::tempdir().expect("creates");
        for (format, name) in [(Format::Toml, "a.toml"), (Format::Json, "a.JSON")] {
            for preset in Preset::ALL {
                let settings = Settings {
                    model: ModelConfig::stpm(preset),
                    training: TrainConfig::stpm(200),
                };
                let path = folder.path().join(name);
                std::fs::write(&path, settings.to_text(format).expect("writes")).expect("writes");
                assert_eq!(Settings::read(&path).expect("reads"), settings);
            }
        }
    }

    #[test]
    fn what_an_ablation_leaves_out_stays_out() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let flags = "line --ablation den --set model.student.decoder=[96,64,40,24] --segmentation-steps 400";
        let line: Line = clap::Parser::parse_from(flags.split(' '));
        let settings = line.args.settings("any", &[]).expect("is possible");
        assert_eq!(settings.model.student.decoder, None);
        assert!(settings.model.segmentation.is_none() && settings.training.segmentation.steps == 0);
    }

    #[test]
    fn any_setting_can_be_changed_by_its_name() {
        let changed = settings()
            .with("training.student.learning_rate=1")
            .and_then(|settings| settings.with("training.segmentation.schedule=constant"))
            .and_then(|settings| settings.with("model.segmentation.rates=[2, 4, 8]"))
            .expect("changes");
        assert_eq!(changed.training.student.learning_rate, 1.0);
        assert_eq!(
            changed.training.segmentation.schedule,
            destseg_engine::config::Schedule::Constant
        );
        assert_eq!(changed.model.segmentation.expect("is there").rates, [2, 4, 8]);
    }

    #[test]
    fn kinds_of_defects_can_be_set_by_their_old_names() {
        let [old, new] = ["scar", "scratch"].map(|name| {
            settings()
                .with(&format!("training.synthesis.kinds.{name}=1"))
                .expect("changes")
        });
        assert_eq!(old, new);
        assert_eq!(new.training.synthesis.kinds.get(AnomalyKind::Scratch), 1.0);
    }

    #[test]
    fn wrong_names_and_values_are_named() {
        for (assignment, word) in [
            ("training.batch", "NAME=VALUE"),
            ("training.btach=3", "btach"),
            ("nowhere.batch=3", "nowhere.batch"),
            ("training.batch=many", "training.batch=many"),
        ] {
            let error = settings().with(assignment).expect_err("is refused").to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
