//! The network without one of its components, beside the whole one.

use std::rc::Rc;

use super::{Bulk, Comparison, ItemId, ModelSource, State};
use crate::config::Component;
use crate::map::AnomalyMap;
use crate::protocol::{AblatedModel, Look};

/// What is left out, and what the rest says.
#[derive(Debug, Clone, Default)]
pub struct Ablating {
    /// What the visitor leaves out.
    pub chosen: Option<Component>,
    /// What was seen of the image shown last.
    seen: Vec<(Component, ItemId, Rc<Comparison>)>,
    /// Why the last look failed.
    pub error: Option<Rc<str>>,
    /// The look in the engine.
    working: Option<(u32, AblateStep)>,
}

/// A look that the engine should take.
#[derive(Debug, Clone, PartialEq)]
pub struct AblateStep {
    /// At this image.
    pub item: ItemId,
    /// With this network.
    pub model: AblatedModel,
}

impl Ablating {
    /// What the network without a component says about an image.
    pub fn of(&self, lacks: Component, item: ItemId) -> Option<&Rc<Comparison>> {
        let found = self.seen.iter().find(|seen| (seen.0, seen.1) == (lacks, item));
        found.map(|seen| &seen.2)
    }

    pub(super) fn begin(&mut self, step: AblateStep, job: u32) {
        self.seen.retain(|seen| seen.1 == step.item);
        self.working = Some((job, step));
    }

    pub(super) fn fail(&mut self, job: u32, message: &str) {
        if self.working.take_if(|own| own.0 == job).is_some() {
            self.error = Some(message.into());
        }
    }

    pub(super) fn hear(&mut self, job: u32, look: Look, bulk: Option<Bulk>) {
        let Some((_, step)) = self.working.take_if(|own| own.0 == job) else {
            return;
        };
        let values = match bulk {
            Some(Bulk::Maps(values)) => values,
            _ => Vec::new(),
        };
        match AnomalyMap::new(look.size.0, look.size.1, values) {
            Some(map) => {
                let looks = vec![(look, map)];
                self.seen
                    .push((step.model.lacks, step.item, Comparison { looks }.into()));
            }
            None => self.error = Some("The engine's answer was incomplete: choose again.".into()),
        }
    }
}

impl State {
    /// The shipped network like the loaded one, but without a component.
    pub fn ablated(&self, lacks: Component) -> Option<&AblatedModel> {
        let manifest = self.manifest.as_ref()?;
        let ModelSource::Shipped(index) = self.model.as_ref()?.source else {
            return None;
        };
        let whole = &manifest.models.get(index)?.file.id;
        let mut all = manifest.ablations.iter();
        all.find(|model| model.of == *whole && model.lacks == lacks)
    }

    pub(super) fn next_ablation(&self) -> Option<AblateStep> {
        let own = &self.ablating;
        let item = self.current()?;
        item.analysis()?;
        let lacks = own.chosen.filter(|_| self.view.inside)?;
        let idle = own.working.is_none() && own.error.is_none() && own.of(lacks, item.id).is_none();
        let model = self.ablated(lacks).filter(|_| idle)?;
        Some(AblateStep {
            item: item.id,
            model: model.clone(),
        })
    }

    /// Leaves out a component, or none.
    pub(super) fn ablate(&mut self, chosen: Option<Component>) {
        self.ablating.chosen = chosen;
        self.ablating.error = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Method;
    use crate::protocol::ManifestFile;

    fn step(item: ItemId, lacks: Component) -> AblateStep {
        let file = ManifestFile {
            id: "a-without-it".into(),
            file: "a".into(),
            bytes: 1,
            sha256: String::new(),
        };
        let of = "a".into();
        let model = AblatedModel { file, of, lacks };
        AblateStep { item, model }
    }

    fn look() -> Look {
        Look {
            method: Method::Destseg,
            score: 0.5,
            thresholds: None,
            probabilities: true,
            size: (2, 1),
            ms: 1.0,
        }
    }

    #[test]
    fn looks_are_of_their_image_and_component() {
        let mut own = Ablating::default();
        own.begin(step(3, Component::Denoising), 9);
        own.hear(8, look(), Some(Bulk::Maps(vec![0.0, 1.0])));
        assert!(own.of(Component::Denoising, 3).is_none(), "another job's answer");
        own.hear(9, look(), Some(Bulk::Maps(vec![0.0, 1.0])));
        assert!(own.of(Component::Denoising, 3).is_some());
        assert!(own.of(Component::EncoderDecoder, 3).is_none());
        assert!(own.of(Component::Denoising, 4).is_none());
        own.begin(step(4, Component::Denoising), 10);
        assert!(
            own.of(Component::Denoising, 3).is_none(),
            "maps of images left are let go"
        );
        own.hear(10, look(), None);
        assert!(own.error.is_some(), "half an answer is none");
    }
}
