//! What anomalies are filled with: the built-in textures one by one, own images, the good images.

use yew::prelude::*;

use super::picture::{Picture, Source};
use crate::page::protocol::Textures;
use crate::page::ui::components::Page;
use crate::page::ui::components::controls::{Choice, FileButton, Select};
use crate::page::ui::files;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, TrainAction, TrainingImage};
use destseg_engine::config::Texture;

/// The menu of sources, and what belongs to the one that is chosen.
#[component]
pub(crate) fn Fillings(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let train = &state.train;
    let usable = train
        .own_textures
        .iter()
        .filter(|image| image.size().is_some())
        .count();
    let sources: Vec<Choice> = vec![
        ("built_in".into(), "Built-in textures".into()),
        ("good_images".into(), "The good images themselves".into()),
        ("own".into(), format!("Own texture images ({usable})").into()),
    ];
    let shown = match train.textures {
        Textures::BuiltIn => "built_in",
        Textures::GoodImages => "good_images",
        Textures::Own => "own",
    };
    let choose = {
        let dispatch = dispatch.clone();
        Callback::from(move |id: String| {
            let textures = match id.as_str() {
                "good_images" => Textures::GoodImages,
                "own" => Textures::Own,
                _ => Textures::BuiltIn,
            };
            dispatch.dispatch(Action::Train(TrainAction::Textures(textures)));
        })
    };
    let own = {
        let dispatch = dispatch.clone();
        Callback::from(move |chosen| files::take_textures(chosen, &dispatch))
    };
    html! {
        <div class="fillings">
            <div class="control-grid">
                <Select label="Filled with" testid="textures" choices={sources} value={shown} onchange={choose} />
                <FileButton testid="texture-input" accept={files::IMAGE_TYPES} multiple=true onfiles={own}>
                    { icon(icons::PICTURE) }{ "Add texture images" }
                </FileButton>
            </div>
            { match train.textures {
                Textures::BuiltIn => kinds(page),
                Textures::Own => html! { <>{ for train.own_textures.iter().filter_map(refused) }</> },
                Textures::GoodImages => Html::default(),
            } }
        </div>
    }
}

/// A texture image that cannot be used, and why.
fn refused(image: &TrainingImage) -> Option<Html> {
    let words = image.status_words();
    (!words.is_empty())
        .then(|| html! { <p class="hint" key={image.id}>{ format!("{}: {words}", image.name) }</p> })
}

/// One button with its picture for each kind; those that are pressed are drawn.
fn kinds(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let train = &state.train;
    let Some(pictures) = &train.kinds else {
        return Html::default();
    };
    let chosen = &train.settings.training.synthesis.textures;
    let is_drawn = |kind: Texture| chosen.is_empty() || chosen.contains(&kind);
    let buttons = Texture::ALL.into_iter().enumerate().map(|(index, kind)| {
        let on = is_drawn(kind);
        let toggle = {
            let (dispatch, settings) = (dispatch.clone(), train.settings.clone());
            Callback::from(move |_: MouseEvent| {
                let mut settings = settings.clone();
                let textures = &mut settings.training.synthesis.textures;
                *textures = toggled(textures, kind);
                dispatch.dispatch(Action::Train(TrainAction::Settings(settings.into())));
            })
        };
        let source = Source::Kinds(pictures.clone());
        html! {
            <button key={kind.id()} type="button" class="kind" aria-pressed={on.to_string()} data-testid="texture-kind"
                data-kind={kind.id()} disabled={train.is_training()} onclick={toggle}>
                <Picture {source} {index} alt="" />
                <span>{ kind.id() }</span>
            </button>
        }
    });
    html! { <div class="kinds" role="group" aria-label="Built-in textures">{ for buttons }</div> }
}

/// The kinds that are drawn after a click on one of them: from all to this one alone, then one by one.
fn toggled(chosen: &[Texture], kind: Texture) -> Vec<Texture> {
    if chosen.is_empty() {
        return vec![kind];
    }
    let keep = |other: &Texture| (*other == kind) != chosen.contains(other);
    let chosen: Vec<Texture> = Texture::ALL.into_iter().filter(keep).collect();
    // none at all, or every one: both are drawn from all
    if chosen.len() == Texture::ALL.len() {
        Vec::new()
    } else {
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_chosen_one_by_one() {
        let one = toggled(&[], Texture::Dots);
        assert_eq!(one, [Texture::Dots]);
        let two = toggled(&one, Texture::Grain);
        assert_eq!(two, [Texture::Grain, Texture::Dots]);
        assert_eq!(toggled(&two, Texture::Grain), [Texture::Dots]);
        assert_eq!(toggled(&one, Texture::Dots), []);
        let all = Texture::ALL[1..].to_vec();
        assert_eq!(toggled(&all, Texture::ALL[0]), []);
    }
}
