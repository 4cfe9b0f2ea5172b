//! Step 1: photos of good parts.

use yew::prelude::*;

use super::picture::Small;
use crate::page::ui::components::controls::{FileButton, Fragment};
use crate::page::ui::components::{Page, add};
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, ENOUGH_IMAGES, TrainAction, TrainingImage, TrainingImageStatus};
use crate::page::ui::{files, format};
use destseg_engine::config::FEWEST_IMAGES;
use destseg_engine::order;

/// So many images are shown at first, and so many more when asked for.
const PAGE: usize = 60;
const MORE: usize = 240;

/// Adding, looking through, removing.
#[component]
pub(crate) fn Collect(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let train = &state.train;
    let act = |make: fn() -> TrainAction| {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Train(make())))
    };
    let onfiles = {
        let dispatch = dispatch.clone();
        Callback::from(move |chosen| files::take(chosen, &dispatch))
    };
    let locked = train.is_training();
    let shown = use_state(|| PAGE);
    let more = {
        let shown = shown.clone();
        Callback::from(move |_: MouseEvent| shown.set(*shown + MORE))
    };
    let mut images: Vec<&TrainingImage> = train.images.iter().collect();
    if images.len() > PAGE {
        // what needs a look must not hide behind many that do not
        order::sort_by(&mut images, |a, b| a.is_fine().cmp(&b.is_fine()));
    }
    html! {
        <section class="panel" aria-labelledby="collect-title">
            <h2 id="collect-title">
                <span class="number">{ "1" }</span>{ "Photos of good parts" }
                <span class="count" data-testid="good-count">{ summary(page) }</span>
                if !train.removed.is_empty() {
                    <button class="link" type="button" data-testid="good-undo" onclick={act(|| TrainAction::Undo)}>
                        { "Undo" }
                    </button>
                }
                if !train.images.is_empty() {
                    <button class="link" type="button" data-testid="good-clear" onclick={act(|| TrainAction::Clear)}
                        disabled={locked}>
                        { "Remove all" }
                    </button>
                }
            </h2>
            <div class="collect-buttons">
                <FileButton testid="good-input" accept={files::IMAGE_TYPES} multiple=true class="primary" onfiles={onfiles.clone()}>
                    { icon(icons::PICTURE) }{ "Add photos" }
                </FileButton>
                <FileButton testid="good-folder" accept="" folder=true {onfiles}>
                    { icon(icons::FOLDER) }{ "Add a folder" }
                </FileButton>
                <add::CameraButton ..page.clone() />
            </div>
            <p class="hint" data-testid="good-advice">{ advice(page) }</p>
            if images.is_empty() {
                <Fragment id="try-training" />
            }
            <ul class="good-list">{ for images.iter().take(*shown).map(|image| entry(page, image)) }</ul>
            { refusals(page) }
            if images.len() > *shown {
                <button class="button" type="button" data-testid="good-more" onclick={more}>
                    { format!("Show more of {} images", images.len()) }
                </button>
            }
        </section>
    }
}

fn summary(page: &Page) -> String {
    let images = &page.state.train.images;
    let ready = page.state.train.ready();
    let refused = images
        .iter()
        .filter(|image| matches!(image.status, TrainingImageStatus::Refused(_)))
        .count();
    let reading = images.len() - ready - refused;
    let mut words = vec![format!("{ready} ready")];
    if reading > 0 {
        words.push(format!("{reading} being read"));
    }
    if refused > 0 {
        words.push(format!("{refused} not usable"));
    }
    if images.is_empty() {
        String::new()
    } else {
        words.join(", ")
    }
}

/// Why images are not usable, in words that a finger can reach, too.
fn refusals(page: &Page) -> Html {
    const MOST: usize = 5;
    let images = page.state.train.images.iter();
    let refused: Vec<_> = images
        .filter_map(|image| match &image.status {
            TrainingImageStatus::Refused(message) => Some((&image.name, message)),
            _ => None,
        })
        .collect();
    let more = refused.len().saturating_sub(MOST);
    if refused.is_empty() {
        return Html::default();
    }
    html! {
        <ul class="refusals" data-testid="refusals">
            { for refused.iter().take(MOST).map(|(name, message)| html! {
                <li><strong>{ &***name }</strong>{ " " }{ &***message }</li>
            }) }
            if more > 0 {
                <li>{ format!("{more} more are marked above.") }</li>
            }
        </ul>
    }
}

/// What would make the collection better.
fn advice(page: &Page) -> String {
    let train = &page.state.train;
    let copies = train
        .images
        .iter()
        .filter(|image| matches!(image.status, TrainingImageStatus::Ready { copy_of: Some(_), .. }))
        .count();
    let mut sizes: Vec<_> = train.images.iter().filter_map(TrainingImage::size).collect();
    order::sort_by(&mut sizes, Ord::cmp);
    sizes.dedup();
    let shapes_differ = sizes.windows(2).any(|pair| {
        let [(a, b), (c, d)] = [pair[0], pair[1]];
        u64::from(a) * u64::from(d) != u64::from(b) * u64::from(c)
    });
    let ready = train.ready();
    let mut words = vec![if ready == 0 {
        "About 20 photos of good parts: same part, same camera position, same lighting as later in use. You can also drop or \
         paste photos, a folder or a zip archive anywhere."
            .to_owned()
    } else if ready < FEWEST_IMAGES {
        format!("At least {FEWEST_IMAGES} photos are needed.")
    } else if ready < ENOUGH_IMAGES {
        format!("Enough to start. About {ENOUGH_IMAGES} photos that cover the normal variation work better.")
    } else {
        "Enough to train.".to_owned()
    }];
    if copies > 0 {
        let show = if copies == 1 { "shows" } else { "show" };
        words.push(format!(
            "{copies} of them {show} the same pixels as another: nothing new to learn."
        ));
    }
    if shapes_differ {
        words.push("These photos differ in aspect ratio. Results are best when all show the part in the same framing.".into());
    }
    words.join(" ")
}

fn entry(page: &Page, image: &TrainingImage) -> Html {
    let remove = {
        let (dispatch, id) = (page.dispatch.clone(), image.id);
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Train(TrainAction::Remove(id))))
    };
    let (state, words) = match &image.status {
        TrainingImageStatus::Waiting | TrainingImageStatus::Adding => ("reading", "being read".to_owned()),
        TrainingImageStatus::Refused(message) => ("refused", message.to_string()),
        TrainingImageStatus::Ready { copy_of: Some(_), .. } => ("copy", "copy".to_owned()),
        TrainingImageStatus::Ready {
            size: (width, height),
            ..
        } => ("ready", format::size(*width, *height)),
    };
    let suspicious = match &page.state.train.phase {
        crate::page::ui::state::Phase::Done(trained) => {
            trained.info.outliers.iter().any(|&(id, _)| id == image.id)
        }
        _ => false,
    };
    html! {
        <li key={image.id} class={classes!("good", state, suspicious.then_some("suspicious"))} data-testid="good"
            data-state={state} data-name={image.name.to_string()} title={format!("{}: {words}", image.name)}>
            if state == "refused" {
                <span class="good-picture">{ icon(icons::WARNING) }</span>
            } else {
                <Small image={image.clone()} />
            }
            <span class="good-words">{ if state == "refused" { image.name.to_string() } else { words } }</span>
            if state == "refused" {
                <span class="visually-hidden">{ image.status_words() }</span>
            }
            <button class="icon-button" type="button" aria-label={format!("Remove {}", image.name)} onclick={remove}
                disabled={page.state.train.is_training()}>
                { icon(icons::CLOSE) }
            </button>
        </li>
    }
}
