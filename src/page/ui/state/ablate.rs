//! The network without one of its components, beside the complete one.

use std::rc::Rc;

use super::{Bulk, Comparison, ItemId, ModelSource, State};
use crate::page::protocol::{AblatedModel, PredictionSummary};
use destseg_engine::config::Component;
use destseg_engine::data::map::AnomalyMap;

/// What is left out, and what the rest says.
#[derive(Debug, Clone, Default)]
pub struct AblateState {
    /// What the visitor leaves out.
    pub chosen: Option<Component>,
    /// What small networks say of the image shown last; without a component, or nothing.
    predictions: Vec<(Option<Component>, ItemId, Rc<Comparison>)>,
    /// Why the last prediction failed.
    pub error: Option<Rc<str>>,
    /// The job in the engine.
    working: Option<(u32, AblateJob)>,
}

/// A prediction to ask the engine for.
#[derive(Debug, Clone, PartialEq)]
pub struct AblateJob {
    /// At this image.
    pub item: ItemId,
    /// With this network.
    pub model: AblatedModel,
}

impl AblateState {
    /// What the small network without a component, or the complete one, says about an image.
    pub fn of(&self, lacks: Option<Component>, item: ItemId) -> Option<&Rc<Comparison>> {
        let found = self
            .predictions
            .iter()
            .find(|prediction| (prediction.0, prediction.1) == (lacks, item));
        found.map(|prediction| &prediction.2)
    }

    pub(super) fn begin(&mut self, job: AblateJob, number: u32) {
        self.predictions.retain(|prediction| prediction.1 == job.item);
        self.working = Some((number, job));
    }

    pub(super) fn fail(&mut self, job: u32, message: &str) {
        if self.working.take_if(|own| own.0 == job).is_some() {
            self.error = Some(message.into());
        }
    }

    pub(super) fn on_event(&mut self, job: u32, summary: PredictionSummary, bulk: Option<Bulk>) {
        let Some((_, begun)) = self.working.take_if(|own| own.0 == job) else {
            return;
        };
        match AnomalyMap::new(summary.size.0, summary.size.1, Bulk::values(bulk)) {
            Some(map) => {
                let predictions = vec![(summary, map)];
                self.predictions
                    .push((begun.model.lacks, begun.item, Comparison { predictions }.into()));
            }
            None => self.error = Some("The engine's answer was incomplete: choose again.".into()),
        }
    }
}

impl State {
    /// The small network of the loaded model's images without a component, or the complete one.
    pub fn ablated(&self, lacks: Option<Component>) -> Option<&AblatedModel> {
        let manifest = self.manifest.as_ref()?;
        let ModelSource::Shipped(index) = self.model.as_ref()?.source else {
            return None;
        };
        let whole = &manifest.models.get(index)?.file.id;
        let mut all = manifest.ablations.iter();
        all.find(|model| model.of == *whole && model.lacks == lacks)
    }

    pub(super) fn next_ablation(&self) -> Option<AblateJob> {
        let own = &self.ablate;
        let item = self.current()?;
        item.info()?;
        let lacks = own.chosen.filter(|_| self.view.inside)?;
        if own.working.is_some() || own.error.is_some() {
            return None;
        }
        let networks = [None, Some(lacks)].map(|lacks| self.ablated(lacks));
        let [Some(whole), Some(rest)] = networks else {
            return None;
        };
        let unseen = |model: &&AblatedModel| own.of(model.lacks, item.id).is_none();
        let model = [whole, rest].into_iter().find(unseen)?;
        Some(AblateJob {
            item: item.id,
            model: model.clone(),
        })
    }

    /// Leaves out a component, or none.
    pub(super) fn ablate(&mut self, chosen: Option<Component>) {
        self.ablate.chosen = chosen;
        self.ablate.error = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::protocol::ManifestFile;
    use destseg_engine::config::Method;

    const LACKS: Option<Component> = Some(Component::Denoising);

    fn job(item: ItemId, lacks: Option<Component>) -> AblateJob {
        let file = ManifestFile {
            id: "a-without-it".into(),
            file: "a".into(),
            bytes: 1,
            sha256: String::new(),
        };
        let of = "a".into();
        let model = AblatedModel { file, of, lacks };
        AblateJob { item, model }
    }

    fn summary() -> PredictionSummary {
        PredictionSummary {
            method: Method::Destseg,
            score: 0.5,
            thresholds: None,
            probabilities: true,
            size: (2, 1),
            unfamiliar: None,
            ms: 1.0,
        }
    }

    #[test]
    fn predictions_are_of_their_image_and_component() {
        let mut own = AblateState::default();
        own.begin(job(3, LACKS), 9);
        own.on_event(8, summary(), Some(Bulk::Maps(vec![0.0, 1.0])));
        assert!(own.of(LACKS, 3).is_none(), "another job's answer");
        own.on_event(9, summary(), Some(Bulk::Maps(vec![0.0, 1.0])));
        assert!(own.of(LACKS, 3).is_some());
        assert!(own.of(None, 3).is_none());
        assert!(own.of(LACKS, 4).is_none());
        own.begin(job(4, LACKS), 10);
        assert!(own.of(LACKS, 3).is_none(), "maps of images left are let go");
        own.on_event(10, summary(), None);
        assert!(own.error.is_some(), "half an answer is none");
    }
}
