//! The feature browser: what teacher and student say at a place, channel by channel.

use std::rc::Rc;

use web_sys::HtmlCanvasElement;
use yew::prelude::*;

use crate::page::ui::components::stage;
use crate::page::ui::study::{STUDENT, Study, TEACHER, cosine, disagreement};
use crate::page::ui::{draw, format};
use destseg_engine::render::ColorMap;

/// Channels shown.
const SHOWN: usize = 8;
/// Channels named in the readout.
const NAMED: usize = 3;
/// Names of the levels, fine to coarse.
pub(super) const LEVELS: [&str; 3] = ["Fine", "Middle", "Coarse"];

/// Properties of [`Features`].
#[derive(Properties)]
pub(super) struct FeaturesProps {
    pub(super) study: Rc<Study>,
    /// Place under the pointer, in parts of the image.
    pub(super) place: Option<(f32, f32)>,
    pub(super) colors: ColorMap,
}

impl PartialEq for FeaturesProps {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.study, &other.study) && self.place == other.place && self.colors == other.colors
    }
}

/// Cosines per level, and the channels that differ most at a place.
#[component]
pub(super) fn Features(props: &FeaturesProps) -> Html {
    let FeaturesProps { study, place, colors } = props;
    let level = use_state(|| 1_usize);
    let pinned = use_state(|| None::<(f32, f32)>);
    // an input that shows a part of the image has places of its own
    let place = place.filter(|_| study.info.whole).or(*pinned);
    let own = &study.levels[*level];
    let pixel = place.map(|place| own[TEACHER].pixel(place));
    let channels = disagreement(&own[TEACHER], &own[STUDENT], pixel);
    let side = study.info.side as u32;
    let pin = {
        let pinned = pinned.setter();
        Callback::from(move |event: PointerEvent| {
            let at = stage::pixel_at(&event, (side, side));
            pinned.set(at.map(|(x, y)| {
                let part = |at: u32| (at as f32 + 0.5) / side as f32;
                (part(x), part(y))
            }));
        })
    };
    let cosines = LEVELS.iter().zip(&study.levels).map(|(name, own)| {
        let value = place.map(|place| cosine(&own[TEACHER], &own[STUDENT], own[TEACHER].pixel(place)));
        let pixel = place.map(|place| own[TEACHER].pixel(place));
        let most = disagreement(&own[TEACHER], &own[STUDENT], pixel);
        let most: Vec<String> = most
            .iter()
            .take(NAMED)
            .map(|&(channel, part)| format!("{channel} ({})", format::value(part)))
            .collect();
        html! {
            <tr data-testid="cosine" data-level={*name}>
                <th scope="row">{ *name }</th>
                <td>{ value.map_or_else(|| "–".into(), format::value) }</td>
                <td>{ most.join(", ") }</td>
            </tr>
        }
    });
    let choose = LEVELS.iter().enumerate().map(|(index, name)| {
        let setter = level.setter();
        html! {
            <button class="button" type="button" aria-pressed={(index == *level).to_string()}
                data-testid={format!("feature-level-{index}")} onclick={move |_: MouseEvent| setter.set(index)}>
                { *name }
            </button>
        }
    });
    let where_ = if place.is_some() {
        "at this place"
    } else {
        "over the whole image"
    };
    html! {
        <section class="study" aria-labelledby="features-title" data-testid="features">
            <h3 id="features-title">{ "What each network sees: the features" }</h3>
            <p class="hint">
                { "For every place, both networks give a list of numbers, one for each channel. Point at a map above, or \
                   click a picture below, to see where the lists differ. The cosine is 1 where they agree; what a channel \
                   adds to the distance stands in brackets." }
            </p>
            <table class="figures study-cosines" aria-live="polite">
                <thead><tr><th scope="col">{ "Level" }</th><th scope="col">{ "Cosine" }</th>
                    <th scope="col">{ format!("Channels that differ most {where_}") }</th></tr></thead>
                <tbody>{ for cosines }</tbody>
            </table>
            <div class="collect-buttons" role="group" aria-label="Level">{ for choose }</div>
            <ul class="channels">
                { for channels.iter().take(SHOWN).map(|&(channel, part)| {
                    let highest = [TEACHER, STUDENT].iter()
                        .flat_map(|&network| own[network].channel(channel))
                        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)));
                    html! {
                        <li key={channel} data-testid="channel" data-channel={channel.to_string()}>
                            <span class="channel-name">{ format!("Channel {channel}") }
                                <span class="count">{ format!("adds {}", format::value(part)) }</span></span>
                            { for [(TEACHER, "teacher"), (STUDENT, "student")].map(|(network, name)| {
                                let value = pixel.map(|(x, y)| own[network].at(channel, x, y));
                                html! {
                                    <span class="plane">
                                        <span onpointerdown={pin.clone()}><Plane study={study.clone()} level={*level} {network} {channel} range={highest}
                                            colors={*colors} mark={pixel} /></span>
                                        <span>{ name }{ " " }<b>{ value.map(format::value) }</b></span>
                                    </span>
                                }
                            }) }
                        </li>
                    }
                }) }
            </ul>
        </section>
    }
}

/// Properties of [`Plane`].
#[derive(Properties)]
struct PlaneProps {
    study: Rc<Study>,
    level: usize,
    network: usize,
    channel: usize,
    range: (f32, f32),
    colors: ColorMap,
    mark: Option<(usize, usize)>,
}

impl PartialEq for PlaneProps {
    fn eq(&self, other: &Self) -> bool {
        let rest = |props: &Self| {
            (
                props.level,
                props.network,
                props.channel,
                props.range,
                props.colors,
                props.mark,
            )
        };
        Rc::ptr_eq(&self.study, &other.study) && rest(self) == rest(other)
    }
}

/// One channel of one network.
#[component]
fn Plane(props: &PlaneProps) -> Html {
    let canvas = use_node_ref();
    let own = &props.study.levels[props.level][props.network];
    let (width, height) = (own.width, own.height);
    {
        let (canvas, study) = (canvas.clone(), props.study.clone());
        let (level, network, channel) = (props.level, props.network, props.channel);
        let (range, colors) = (props.range, props.colors);
        let key = (
            Rc::as_ptr(&study) as usize,
            level,
            network,
            channel,
            range,
            colors,
        );
        use_effect_with(key, move |_| {
            let own = &study.levels[level][network];
            let (low, high) = range;
            let share = |value: f32| {
                if high > low {
                    (value - low) / (high - low)
                } else {
                    0.0
                }
            };
            let pixels: Vec<u8> = own
                .channel(channel)
                .iter()
                .flat_map(|&value| {
                    let [red, green, blue] = colors.rgb(share(value));
                    [red, green, blue, 255]
                })
                .collect();
            if let Some(canvas) = canvas.cast::<HtmlCanvasElement>() {
                // without a context the numbers are still there
                let _ = draw::paint(&canvas, &pixels, own.width, own.height);
            }
        });
    }
    html! {
        <span class="plane-picture">
            <canvas ref={canvas} />
            if let Some((x, y)) = props.mark {
                <svg viewBox={format!("0 0 {width} {height}")} focusable="false" aria-hidden="true">
                    <rect x={x.to_string()} y={y.to_string()} width="1" height="1" />
                </svg>
            }
        </span>
    }
}
