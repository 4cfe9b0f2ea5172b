//! What commands share that go on with a trained model: `calibrate` and `correct`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use super::common::{
    DeviceArg, load_all_good, load_model, load_teacher, load_textures, note_unreadable, refuse_existing,
    write_file,
};
use destseg_engine::arch::prefix;
use destseg_engine::arch::weights::Weights;
use destseg_engine::backend::device::Device;
use destseg_engine::config::TrainConfig;
use destseg_engine::data::dataset::Category;
use destseg_engine::data::image::RgbImage;
use destseg_engine::files::storage::Precision;
use destseg_engine::methods::file::ModelFile;
use destseg_engine::synthesis::{Synthesiser, TextureSource};
use destseg_engine::train::{Trained, Trainer};

/// The model, and how it is written again.
#[derive(Debug, clap::Args)]
pub(super) struct RetrainArgs {
    /// Model file.
    #[arg(short, long)]
    pub(super) model: PathBuf,
    /// Model file to write.
    #[arg(short, long)]
    pub(super) out: PathBuf,
    /// Folder of texture images for the synthetic defects; without it, built-in textures.
    #[arg(long)]
    textures: Option<PathBuf>,
    /// Teacher file, where the model needs one that is not built in.
    #[arg(long)]
    teacher: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t)]
    pub(super) device: DeviceArg,
    /// How weights are stored; as in the model file, unless given.
    #[arg(long, value_enum)]
    pub(super) precision: Option<Precision>,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

/// The good images of a folder in MVTec layout, as a model sees them.
#[derive(Debug)]
pub(super) struct Good {
    /// The folder's name.
    pub(super) name: String,
    /// All in the order of their files: one each, or several views.
    pub(super) images: Vec<Arc<RgbImage>>,
    files: Vec<PathBuf>,
    /// For each image, the place of its file.
    origins: Vec<usize>,
}

impl Good {
    /// How many images a file gives, on average.
    pub(super) fn views(&self) -> f32 {
        self.images.len() as f32 / self.files.len() as f32
    }

    /// The file of an image.
    pub(super) fn file(&self, image: usize) -> &Path {
        &self.files[self.origins[image]]
    }
}

impl RetrainArgs {
    /// Opens the model, unless the file to write is there already.
    pub(super) fn open(&self) -> Result<ModelFile> {
        refuse_existing(&self.out, self.force)?;
        load_model(&self.model)
    }

    /// The model's teacher, from its file or another one.
    pub(super) fn teacher(&self, file: &ModelFile) -> Result<Weights> {
        match file.teacher() {
            Some(own) => Ok(own),
            None => load_teacher(file.header.teacher(), self.teacher.as_deref()),
        }
    }

    /// What the synthetic defects are filled with.
    pub(super) fn textures(&self, file: &ModelFile) -> Result<TextureSource> {
        load_textures(self.textures.as_deref(), file.header.input_size())
    }

    /// How the new file stores weights.
    pub(super) fn precision(&self) -> Precision {
        let stored = || Precision::of_file(&std::fs::read(&self.model).ok()?);
        self.precision.or_else(stored).unwrap_or_default()
    }

    /// A training that goes on from the model, with the good images of a folder in MVTec layout and the model's own recipe,
    /// as far as `edit` leaves it.
    pub(super) fn trainer(
        &self,
        file: &ModelFile,
        data: &Path,
        (teacher, device): (&Weights, &Device),
        edit: impl FnOnce(&mut TrainConfig),
    ) -> Result<Trainer> {
        let good = self.good(file, data)?;
        let model = file.header.networks().map_err(|err| err.in_file(&self.model))?;
        let recipe = file.header.training().map(|record| record.config.clone());
        let mut config = recipe.unwrap_or_else(|| TrainConfig::preset(model.preset));
        config.codebook |= file.header.codebook.is_some();
        edit(&mut config);
        let textures = self.textures(file)?;
        let synthesiser = Synthesiser::new(config.synthesis.clone(), config.augment, textures);
        let images = good.images.iter().cloned();
        let mut trainer = Trainer::new(model.clone(), config, teacher, images, synthesiser, device)?;
        trainer.set_views(good.views());
        trainer.set_precision(self.precision());
        let mut weights = file.weights.clone();
        let _own_teacher = weights.take_prefix(prefix::TEACHER);
        trainer.start_from(&weights)?;
        Ok(trainer)
    }

    /// The good images of a folder in MVTec layout.
    pub(super) fn good(&self, file: &ModelFile, data: &Path) -> Result<Good> {
        let category = Category::open(data)?;
        note_unreadable(data);
        let files = category.train_good()?;
        let loaded = load_all_good(&files, file.header.input_size(), file.header.fit())?;
        Ok(Good {
            name: category.name,
            images: loaded.images.into_iter().map(Arc::new).collect(),
            files,
            origins: loaded.origins,
        })
    }

    /// Writes the model.
    pub(super) fn write(&self, file: &ModelFile) -> Result<()> {
        write_file(&self.out, &file.to_bytes(self.precision())?)?;
        eprintln!("wrote {}", self.out.display());
        Ok(())
    }
}

/// Puts what a training gave into the model's file, besides its thresholds.
pub(super) fn take(file: &mut ModelFile, trained: Trained) {
    let own_teacher = file.weights.take_prefix(prefix::TEACHER);
    file.weights = trained.weights;
    file.set_familiarity(trained.familiarity);
    file.set_codebook(trained.codebook);
    file.weights.extend(own_teacher);
}
