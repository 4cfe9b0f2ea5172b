//! How the queue is worked off. The image that is shown comes first and has its maps; of all others only the numbers and
//! a thumbnail are kept, and the maps of the latest. Many images are given to helpers of the engine.

use std::rc::Rc;

use super::{Bulk, Item, ItemId, Job, Prediction, State, Status};
use crate::page::protocol::{PredictionInfo, STOPPED_TWICE};
use crate::page::shared;
use destseg_engine::order;
use destseg_engine::verdict::decision;

/// Results whose maps are kept.
const KEPT: usize = 12;
/// Inference times that are kept.
const MOST_TIMES: usize = 100;
/// The least span of the DeST map's colours, so that noise does not look like a defect.
const DEST_SPAN: f32 = 0.01;
/// An image that was in the engine at this many crashes is not tried again.
const CRASHES_PER_IMAGE: u32 = 2;
/// From this many waiting images on the engine is asked for helpers.
const MANY: usize = 8;

/// An image in the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Working {
    /// Its job.
    pub job: u32,
    /// The image.
    pub item: ItemId,
    /// Whether its maps are not asked for.
    pub brief: bool,
}

/// The engine's helpers for the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Helpers {
    /// They are not needed.
    #[default]
    None,
    /// They were asked for.
    Asked,
    /// So many images may be in the engine at the same time: one where it has no helpers.
    Ready(usize),
}

/// Which images of the queue are listed, and in which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only those with a defect.
    pub only_defects: bool,
    /// Those with the highest scores first, instead of those that came first.
    pub by_score: bool,
}

impl State {
    /// The images of the queue as they are listed.
    pub fn listed(&self) -> Vec<&Item> {
        let is_listed = |item: &&Item| !self.listing.only_defects || self.is_defective(item);
        let mut listed: Vec<&Item> = self.items.iter().filter(is_listed).collect();
        if self.listing.by_score {
            let score = |item: &Item| item.info().map_or(f32::NEG_INFINITY, |info| info.score);
            order::sort_by(&mut listed, |a, b| score(b).total_cmp(&score(a)));
        }
        listed
    }

    fn is_defective(&self, item: &Item) -> bool {
        item.info()
            .is_some_and(|info| self.kind(info) == decision::Verdict::Defective)
    }

    /// Shows the image this many places further on in the list.
    pub(super) fn shift(&mut self, offset: isize) {
        let listed = self.listed();
        let Some(last) = listed.len().checked_sub(1) else {
            return;
        };
        let here = listed.iter().position(|item| Some(item.id) == self.selected);
        let next = listed[here.unwrap_or(0).saturating_add_signed(offset).min(last)].id;
        self.selected = Some(next);
    }

    /// Shows the next image with a defect, after the last one the first.
    pub(super) fn show_next_defect(&mut self) {
        let listed = self.listed();
        let here = listed.iter().position(|item| Some(item.id) == self.selected);
        let (before, after) = listed.split_at(here.map_or(0, |here| here + 1));
        let mut next = after.iter().chain(before).filter(|item| self.is_defective(item));
        if let Some(id) = next.next().map(|item| item.id) {
            self.selected = Some(id);
        }
    }

    /// Takes images off the queue; those before can no longer be brought back.
    pub(super) fn take_off(&mut self, is_gone: impl Fn(&Item) -> bool) {
        let all = std::mem::take(&mut self.items).into_iter().enumerate();
        let (gone, stay): (Vec<_>, Vec<_>) = all.partition(|(_, item)| is_gone(item));
        self.items = stay.into_iter().map(|(_, item)| item).collect();
        self.removed = gone;
        for (_, item) in &mut self.removed {
            // its answer finds it no longer
            if item.status == Status::Working {
                item.status = Status::Waiting;
            }
        }
    }

    /// Brings back what was taken off the queue last, each image to its place.
    pub(super) fn bring_back(&mut self) {
        for (place, item) in std::mem::take(&mut self.removed) {
            self.selected = Some(item.id);
            self.items.insert(place.min(self.items.len()), item);
        }
    }

    /// The result of an image with its maps, where they are kept.
    pub fn prediction(&self, item: &Item) -> Option<&Rc<Prediction>> {
        let info = item.info()?;
        let mut kept = self.predictions.iter();
        kept.find(|own| Rc::ptr_eq(&own.info, info))
    }

    /// The result of the image shown.
    pub fn shown(&self) -> Option<&Rc<Prediction>> {
        self.prediction(self.current()?)
    }

    /// Whether a result means good, defective or unfamiliar: [`State::verdict`] without how sure that is, which would take long
    /// for thousands.
    pub fn kind(&self, info: &PredictionInfo) -> decision::Verdict {
        let thresholds = self.calibration().map(|own| own.thresholds()).unwrap_or_default();
        thresholds.verdict(info.score, info.unfamiliar)
    }

    /// The value of the DeST map that has the hottest colour. The map has no upper end of its own: the
    /// highest value in the queue is taken, so that images can be compared.
    pub fn dest_span(&self) -> f32 {
        let infos = self.items.iter().filter_map(Item::info);
        infos.map(|info| info.dest_maximum).fold(DEST_SPAN, f32::max)
    }

    /// The next job of the queue.
    pub(super) fn next_inspection(&self) -> Option<Job> {
        let with_maps = self.working.iter().any(|own| !own.brief);
        let is_due = |item: &&Item| match item.status {
            // in work without maps, unless one is in work with them
            Status::Waiting | Status::Working => true,
            Status::Done(_) => self.prediction(item).is_none(),
            Status::Failed(_) => false,
        };
        if let Some(item) = self.current().filter(is_due).filter(|_| !with_maps) {
            return Some(Job::Inspect(item.id, false));
        }
        let waiting = self.items.iter().filter(|item| item.status == Status::Waiting);
        let waiting = waiting.filter(|item| Some(item.id) != self.selected);
        // an evaluation has helpers of its own
        let is_evaluating = self.evaluate.is_running();
        match (waiting.clone().next(), self.helpers) {
            (_, Helpers::Asked) => None,
            (Some(item), Helpers::Ready(at_once)) if !is_evaluating && !item.is_to_remember => {
                let brief = self.working.iter().filter(|own| own.brief).count();
                (brief < at_once).then_some(Job::Inspect(item.id, true))
            }
            (_, Helpers::Ready(_)) if self.working.is_empty() => Some(Job::Helpers(0)),
            (Some(item), _) => {
                let count = waiting.count();
                if self.helpers == Helpers::None && count >= MANY && !is_evaluating {
                    return Some(Job::Helpers(count));
                }
                (!with_maps).then_some(Job::Inspect(item.id, false))
            }
            (None, _) => None,
        }
    }

    pub(super) fn begin_inspection(&mut self, job: u32, item: ItemId, brief: bool) {
        if !brief {
            // what a helper says of it comes too late
            self.working.retain(|own| own.item != item);
        }
        self.working.push(Working { job, item, brief });
        self.with_item(item, |item| {
            if !matches!(item.status, Status::Done(_)) {
                item.status = Status::Working;
            }
        });
    }

    /// Ends a job with an image, which it returns.
    pub(super) fn finish(&mut self, job: u32, status: Status) -> Option<ItemId> {
        let place = self.working.iter().position(|own| own.job == job)?;
        let id = self.working.remove(place).item;
        self.with_item(id, |item| item.status = status);
        Some(id)
    }

    /// Takes in the result of an image.
    pub(super) fn on_inspected(&mut self, job: u32, result: PredictionInfo, bulk: Option<Bulk>) {
        let Some(own) = self.working.iter().find(|own| own.job == job).copied() else {
            return;
        };
        let time = result.inference_ms;
        let Some((info, prediction, thumbnail)) = read(result, bulk, own.brief) else {
            let message = "The engine's answer was incomplete: analyse the image again.";
            self.finish(job, Status::Failed(message.into()));
            return;
        };
        if self.times.len() == MOST_TIMES {
            self.times.remove(0);
        }
        self.times.push(time);
        self.crashes = 0;
        if let Some(prediction) = prediction {
            let shown = self.shown().cloned();
            if self.predictions.len() == KEPT {
                let is_other = |own: &Rc<Prediction>| Some(own) != shown.as_ref();
                let oldest = self.predictions.iter().position(is_other);
                self.predictions.remove(oldest.unwrap_or(0));
            }
            self.predictions.push(prediction);
        }
        self.finish(job, Status::Done(info));
        self.with_item(own.item, |item| item.thumbnail = thumbnail.into());
        self.settle(own.item);
    }

    /// Puts the images in the engine back into the queue and gives their jobs, whose answers come too late now.
    pub(super) fn requeue(&mut self) -> Vec<Working> {
        let working = std::mem::take(&mut self.working);
        for own in &working {
            self.with_item(own.item, |item| {
                if item.status == Status::Working {
                    item.status = Status::Waiting;
                }
            });
        }
        working
    }

    /// The engine went down with these images. Those that helpers had are not to blame.
    pub(super) fn blame(&mut self, in_flight: Vec<Working>, helpers: Helpers) {
        let has_helpers = matches!(helpers, Helpers::Ready(2..));
        for own in in_flight.iter().filter(|own| !(own.brief && has_helpers)) {
            self.with_item(own.item, |item| {
                item.crashes += 1;
                if item.crashes >= CRASHES_PER_IMAGE {
                    item.status = Status::Failed(STOPPED_TWICE.into());
                }
            });
        }
    }
}

/// The numbers of a result, the same with maps if there are any, and the thumbnail; `None` if they do not fit together.
#[expect(clippy::type_complexity, reason = "three parts of one answer")]
fn read(
    info: PredictionInfo,
    bulk: Option<Bulk>,
    brief: bool,
) -> Option<(Rc<PredictionInfo>, Option<Rc<Prediction>>, Vec<u8>)> {
    let Some(Bulk::Packed(mut bytes)) = bulk else {
        return None;
    };
    let thumbnail = bytes.split_off(bytes.len().checked_sub(info.thumbnail_bytes)?);
    if brief {
        return Some((info.into(), None, thumbnail));
    }
    let prediction = Rc::new(Prediction::new(info, shared::values(&bytes).collect())?);
    Some((prediction.info.clone(), Some(prediction), thumbnail))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Page, THUMBNAIL, analysed};
    use super::super::{Action, ModelSource, ThresholdChange};
    use super::*;
    use crate::page::protocol::{Event, PROTOCOL_VERSION};
    use crate::page::shared::content::UserFile;

    fn files(count: usize) -> Action {
        let file = |index| UserFile {
            path: format!("{index:04}.png").into(),
            content: Err(String::new()),
        };
        Action::Add((0..count).map(file).collect::<Vec<_>>().into())
    }

    /// A page with so many images to look at, the first is shown; examples are out of the way.
    fn with_images(count: usize) -> Page {
        let mut page = Page::ready();
        page.act(Action::Clear);
        page.act(files(count));
        let items = page.0.items.iter().cloned();
        let items = items.map(|item| Item {
            status: Status::Waiting,
            ..item
        });
        page.0 = Rc::new(State {
            items: items.collect(),
            ..(*page.0).clone()
        });
        page
    }

    /// The answer to a job, with maps or without.
    fn answer(page: &Page, own: Working, score: f32) -> Action {
        let Action::Engine(_, event, bulk) = analysed(own.job, score, score) else {
            unreachable!("just made")
        };
        let bulk = if own.brief {
            Some(Bulk::Packed(THUMBNAIL.into()))
        } else {
            bulk
        };
        Action::Engine(page.0.generation, event, bulk)
    }

    /// Begins all that can be begun, and helpers when they are asked for.
    fn begin_all(page: &mut Page, at_once: usize) {
        while page.0.next_job().is_some() {
            if let (Job::Helpers(1..), _) = page.begin() {
                page.on_event(Event::Helpers { at_once });
            }
        }
    }

    /// Works the queue off, the latest job first.
    fn work_off(page: &mut Page, at_once: usize) {
        begin_all(page, at_once);
        while let Some(&own) = page.0.working.last() {
            page.act(answer(page, own, own.item as f32));
            begin_all(page, at_once);
        }
    }

    #[test]
    fn few_images_need_no_helpers() {
        let mut page = with_images(MANY);
        for _ in 0..MANY {
            let (next, _) = page.begin();
            assert!(matches!(next, Job::Inspect(_, false)), "{next:?}");
            assert_eq!(page.0.next_job(), None, "one at a time");
            page.act(answer(&page, page.0.working[0], 0.5));
        }
        assert_eq!((page.0.next_job(), page.0.helpers), (None, Helpers::None));
        let all = |item| page.0.prediction(item).is_some();
        assert!(page.0.items.iter().all(all), "all are kept with their maps");
    }

    #[test]
    fn many_images_are_given_to_helpers_and_few_maps_are_kept() {
        let mut page = with_images(100);
        let first = page.0.items[0].id;
        assert_eq!(
            page.begin().0,
            Job::Inspect(first, false),
            "what is shown has its maps"
        );
        assert_eq!(page.begin().0, Job::Helpers(99));
        assert_eq!(page.0.next_job(), None);
        page.on_event(Event::Helpers { at_once: 4 });
        begin_all(&mut page, 4);
        assert_eq!(page.0.working.iter().filter(|own| own.brief).count(), 4);
        work_off(&mut page, 4);
        // whoever answered first, each has its own score
        for item in &page.0.items {
            assert_eq!(item.info().map(|info| info.score), Some(item.id as f32));
            assert_eq!(*item.thumbnail, THUMBNAIL);
        }
        assert!(page.0.predictions.len() <= KEPT && page.0.times.len() <= MOST_TIMES);
        assert_eq!((page.0.helpers, page.0.next_job()), (Helpers::None, None));
    }

    #[test]
    fn an_image_selected_late_gets_its_maps_and_keeps_its_verdict() {
        let mut page = with_images(40);
        work_off(&mut page, 4);
        for place in (1..40).rev() {
            let id = page.0.items[place].id;
            page.act(Action::Select(id));
            assert!(page.0.shown().is_none() && page.statuses()[place] == "done");
            assert_eq!(page.begin().0, Job::Inspect(id, false));
            assert_eq!(page.statuses()[place], "done");
            page.act(answer(&page, page.0.working[0], 0.7));
            assert!(page.0.shown().is_some() && page.0.predictions.len() <= KEPT);
            assert_eq!(page.0.next_job(), None);
        }
        // the latest are still there
        page.act(Action::Select(page.0.items[2].id));
        assert_eq!(page.0.next_job(), None);
    }

    #[test]
    fn what_is_shown_passes_the_queue() {
        let mut page = with_images(40);
        begin_all(&mut page, 4);
        page.act(answer(&page, page.0.working[0], 0.5));
        let waiting = page.0.items[39].id;
        page.act(Action::Select(waiting));
        assert_eq!(page.0.next_job(), Some(Job::Inspect(waiting, false)));
        // a helper has it already, without maps
        let own = page.0.working[0];
        page.act(Action::Select(own.item));
        assert_eq!(page.begin().0, Job::Inspect(own.item, false));
        page.act(answer(&page, own, 0.1));
        let status = |page: &Page| page.0.item(own.item).map(|item| item.status.id());
        assert_eq!(
            status(&page),
            Some("working"),
            "the helper's answer comes too late"
        );
        let own = *page.0.working.iter().find(|own| !own.brief).expect("is in work");
        page.act(answer(&page, own, 0.9));
        assert_eq!(page.0.shown().map(|own| own.info.score), Some(0.9));
    }

    #[test]
    fn a_cleared_queue_ends_the_helpers_and_late_answers_change_nothing() {
        let mut page = with_images(40);
        begin_all(&mut page, 4);
        let late = page.0.working.clone();
        page.act(Action::Clear);
        assert_eq!(page.begin().0, Job::Helpers(0));
        for own in late {
            page.act(answer(&page, own, 0.5));
        }
        page.on_event(Event::Helpers { at_once: 1 });
        assert_eq!((page.0.items.len(), page.0.helpers), (0, Helpers::None));
        assert!(page.0.predictions.is_empty() && page.0.next_job().is_none());
    }

    #[test]
    fn an_engine_that_dies_loses_nothing_and_blames_no_image_of_a_helper() {
        let mut page = with_images(40);
        begin_all(&mut page, 4);
        page.act(answer(&page, page.0.working[0], 0.5));
        for _ in 0..3 {
            begin_all(&mut page, 4);
            assert_eq!(page.0.working.len(), 4);
            page.fatal();
            assert_eq!((page.0.working.len(), page.0.helpers), (0, Helpers::None));
            page.on_event(Event::Ready {
                protocol: PROTOCOL_VERSION,
            });
            page.bring_up();
        }
        work_off(&mut page, 4);
        assert!(page.statuses().iter().all(|&status| status == "done"));
    }

    #[test]
    fn lost_helpers_leave_the_engine_alone_with_one_at_a_time() {
        let mut page = with_images(40);
        begin_all(&mut page, 4);
        page.on_event(Event::Helpers { at_once: 1 });
        while page.0.working.len() > 1 {
            assert_eq!(page.0.next_job(), None);
            let own = *page.0.working.last().expect("is in work");
            page.act(answer(&page, own, 0.5));
        }
        work_off(&mut page, 1);
        assert!(page.statuses().iter().all(|&status| status == "done"));
    }

    #[test]
    fn the_list_is_filtered_and_sorted_and_keys_follow_it() {
        let mut page = with_images(5);
        for score in [0.5, 0.1, 0.9, 0.2, 0.7] {
            page.begin();
            page.act(answer(&page, page.0.working[0], score));
        }
        let listed = |page: &Page| -> Vec<String> {
            page.0
                .listed()
                .iter()
                .map(|item| item.name[3..4].to_owned())
                .collect()
        };
        let shown = |page: &Page| page.0.current().map(|item| item.name[3..4].to_owned());
        assert_eq!(listed(&page).concat(), "01234");
        let (only_defects, by_score) = (true, true);
        page.act(Action::List(Listing {
            only_defects,
            by_score: false,
        }));
        assert_eq!(listed(&page).concat(), "024");
        page.act(Action::List(Listing {
            only_defects,
            by_score,
        }));
        assert_eq!(listed(&page).concat(), "240");
        page.act(Action::Move(isize::MIN));
        assert_eq!(shown(&page).as_deref(), Some("2"));
        page.act(Action::Move(1));
        assert_eq!(shown(&page).as_deref(), Some("4"));
        page.act(Action::List(Listing::default()));
        for next in ["0", "2", "4", "0"] {
            page.act(Action::NextDefect);
            assert_eq!(shown(&page).as_deref(), Some(next));
        }
        page.act(Action::Threshold(ThresholdChange::To(0.95)));
        page.act(Action::NextDefect);
        assert_eq!(shown(&page).as_deref(), Some("0"), "there is none");
        page.act(Action::List(Listing {
            only_defects,
            by_score,
        }));
        page.act(Action::Move(1));
        assert_eq!((listed(&page).len(), shown(&page).as_deref()), (0, Some("0")));
    }

    #[test]
    fn another_model_has_all_looked_at_again() {
        let mut page = with_images(40);
        begin_all(&mut page, 4);
        let late = page.0.working.clone();
        page.act(Action::OpenModel(ModelSource::Shipped(1)));
        assert!(matches!(page.begin().0, Job::Load(_)));
        for own in late {
            page.act(answer(&page, own, 0.5));
        }
        assert!(page.statuses().iter().all(|&status| status == "waiting"));
        assert_eq!(page.0.helpers, Helpers::None);
    }
}
