//! Tablets in the cavities of a tray: pressed, scored, powdery; none lies quite like the next.

use rand::RngExt as _;
use rand_pcg::Pcg64;

use super::scene::{Surface, along, between, curve, hash, smoothstep, value_noise};

pub(super) const DEFECTS: &[&str] = &[
    "chipped",
    "contamination",
    "crack",
    "discoloured",
    "misplaced",
    "missing",
];

/// Cavities across the picture.
const ACROSS: f32 = 4.3;
/// Radius of a cavity and of a tablet in units of the distance between cavities.
const CAVITY: f32 = 0.45;
const TABLET: f32 = 0.36;
/// Depth of a cavity and height of a tablet in pixels.
const DEPTH: f32 = 5.0;
const THICKNESS: f32 = 9.0;
const TRAY: [f32; 3] = [0.09, 0.13, 0.18];
const COATING: [f32; 3] = [0.74, 0.69, 0.6];
/// What a tablet is inside.
const CORE: [f32; 3] = [0.86, 0.84, 0.79];

/// A cavity's column and row.
type Cell = [i64; 2];

/// How the tray lies, and what its tablets are like.
struct Tray {
    size: usize,
    /// Pixels between cavities.
    pitch: f32,
    cosine: f32,
    sine: f32,
    shift: [f32; 2],
    salt: u64,
}

/// What is wrong with one tablet; pictures without a defect have none.
#[derive(Clone, Copy)]
enum Fault {
    Missing,
    /// Lies off its cavity by so many pixels.
    Misplaced([f32; 2]),
    /// Broken off beyond this share of the radius in the direction of the unit vector.
    Chipped([f32; 2], f32),
    /// Of another colour.
    Discoloured([f32; 3]),
}

pub(super) fn surface(size: usize, layout: &mut Pcg64, defect: Option<(&str, &mut Pcg64)>) -> Surface {
    let angle = between(layout, -0.05, 0.05);
    let tray = Tray {
        size,
        pitch: size as f32 / ACROSS * between(layout, 0.97, 1.03),
        cosine: libm::cosf(angle),
        sine: libm::sinf(angle),
        shift: [between(layout, -0.5, 0.5), between(layout, -0.5, 0.5)],
        salt: layout.random(),
    };
    let Some((name, rng)) = defect else {
        return tray.draw(None);
    };
    let cell = [rng.random_range(-1..=1), rng.random_range(-1..=1)];
    let turn = between(rng, 0.0, std::f32::consts::TAU);
    let direction = [libm::cosf(turn), libm::sinf(turn)];
    let fault = match name {
        "missing" => Some(Fault::Missing),
        "misplaced" => {
            let away = between(rng, 0.14, 0.3) * tray.pitch;
            Some(Fault::Misplaced(direction.map(|d| d * away)))
        }
        "chipped" => Some(Fault::Chipped(direction, between(rng, 0.35, 0.85))),
        "discoloured" => {
            let tints = [[0.62, 0.5, 0.3], [0.56, 0.55, 0.56], [0.72, 0.56, 0.5]];
            Some(Fault::Discoloured(tints[rng.random_range(0..tints.len())]))
        }
        _ => None,
    };
    let mut surface = tray.draw(fault.map(|fault| (cell, fault)));
    let centre = tray.tablet_centre(cell);
    match name {
        "crack" => tray.crack(&mut surface, centre, direction, rng),
        "contamination" => tray.contamination(&mut surface, centre, rng),
        _ => {}
    }
    surface
}

impl Tray {
    /// Middle of a cavity in pixels.
    fn cavity_centre(&self, cell: Cell) -> [f32; 2] {
        let (u, v) = (cell[0] as f32 + self.shift[0], cell[1] as f32 + self.shift[1]);
        let middle = self.size as f32 / 2.0;
        [
            middle + self.pitch * (self.cosine * u - self.sine * v),
            middle + self.pitch * (self.sine * u + self.cosine * v),
        ]
    }

    /// The cavity nearest to a place.
    fn cell_at(&self, x: f32, y: f32) -> Cell {
        let middle = self.size as f32 / 2.0;
        let (x, y) = ((x - middle) / self.pitch, (y - middle) / self.pitch);
        let u = self.cosine * x + self.sine * y - self.shift[0];
        let v = self.cosine * y - self.sine * x - self.shift[1];
        [u.round() as i64, v.round() as i64]
    }

    /// A number in [0, 1) that belongs to a tablet.
    fn trait_of(&self, cell: Cell, which: u64) -> f32 {
        hash(cell[0], cell[1], self.salt ^ which)
    }

    /// Middle of a good tablet: it has some play in its cavity.
    fn tablet_centre(&self, cell: Cell) -> [f32; 2] {
        let play = (CAVITY - TABLET) * self.pitch * 0.9;
        let [x, y] = self.cavity_centre(cell);
        [
            x + play * (self.trait_of(cell, 1) - 0.5),
            y + play * (self.trait_of(cell, 2) - 0.5),
        ]
    }

    fn draw(&self, fault: Option<(Cell, Fault)>) -> Surface {
        let mut surface = Surface::flat(self.size, TRAY);
        for i in 0..self.size * self.size {
            let (x, y) = ((i % self.size) as f32, (i / self.size) as f32);
            let cell = self.cell_at(x, y);
            self.plastic(&mut surface, i, [x, y], cell);
            let good = neighbours(cell).filter(|other| fault.is_none_or(|(at, _)| at != *other));
            for other in good {
                self.tablet(&mut surface, i, [x, y], other, None);
            }
            // last: a misplaced tablet lies upon its neighbours
            if let Some((at, fault)) = fault
                && neighbours(cell).any(|other| other == at)
            {
                self.tablet(&mut surface, i, [x, y], at, Some(fault));
            }
        }
        surface
    }

    fn plastic(&self, surface: &mut Surface, i: usize, [x, y]: [f32; 2], cell: Cell) {
        let [cx, cy] = self.cavity_centre(cell);
        let distance = length(x - cx, y - cy);
        let rim = CAVITY * self.pitch;
        let inside = 1.0 - smoothstep(rim - 4.0, rim, distance);
        let grain = value_noise(x * 0.9, y * 0.9, self.salt ^ 11) - 0.5;
        surface.height[i] = -DEPTH * inside + 0.25 * grain;
        surface.gloss[i] = 0.12;
        for value in &mut surface.albedo[i] {
            *value *= (1.0 + 0.12 * grain) * (1.0 - 0.3 * inside);
        }
    }

    fn tablet(&self, surface: &mut Surface, i: usize, [x, y]: [f32; 2], cell: Cell, fault: Option<Fault>) {
        /// How far the shadow of a tablet reaches, in pixels.
        const SHADOW: f32 = 6.0;
        if matches!(fault, Some(Fault::Missing)) {
            return;
        }
        let mut centre = self.tablet_centre(cell);
        let mut floor = -DEPTH;
        let mut coating = COATING;
        match fault {
            Some(Fault::Misplaced(shift)) => {
                centre = [centre[0] + shift[0], centre[1] + shift[1]];
                floor = 0.0;
            }
            Some(Fault::Discoloured(color)) => coating = color,
            _ => {}
        }
        let (dx, dy) = (x - centre[0], y - centre[1]);
        let radius = TABLET * self.pitch;
        let distance = length(dx, dy);
        if distance > radius + SHADOW {
            return;
        }
        let broken = match fault {
            Some(Fault::Chipped([nx, ny], from)) => {
                let rough = value_noise(x * 0.35, y * 0.35, self.salt ^ 21) - 0.5;
                (dx * nx + dy * ny) / radius + 0.16 * rough - from
            }
            _ => -1.0,
        };
        if distance > radius || broken > 0.0 {
            // the shadow at the foot
            let dark = 0.4 * (1.0 - smoothstep(radius, radius + SHADOW, distance));
            for value in &mut surface.albedo[i] {
                *value *= 1.0 - dark;
            }
            return;
        }
        // pressed: a flat dome with a bevelled edge and a score line
        let share = distance / radius;
        let bevel = 1.0 - smoothstep(0.82, 1.0, share);
        let turn = std::f32::consts::PI * self.trait_of(cell, 3);
        let off_line = dx * libm::sinf(turn) - dy * libm::cosf(turn);
        let score = libm::expf(-off_line * off_line / 3.0) * (1.0 - smoothstep(0.75, 0.9, share));
        let powder = value_noise(x * 0.8, y * 0.8, self.salt ^ 31) - 0.5;
        let edge_of_break = smoothstep(-0.1, 0.0, broken);
        surface.height[i] = floor + THICKNESS * (0.55 + 0.45 * bevel) + 1.5 * (1.0 - share * share)
            - 1.8 * score
            - 3.0 * edge_of_break
            + 0.35 * powder;
        surface.gloss[i] = 0.04;
        let shade = (0.97 + 0.06 * self.trait_of(cell, 4)) * (1.0 + 0.05 * powder) * (1.0 - 0.15 * score);
        surface.albedo[i] = coating.map(|value| value * shade);
        surface.tint(i, CORE, 0.8 * edge_of_break);
    }

    /// A wandering crack through part of a tablet.
    fn crack(&self, surface: &mut Surface, centre: [f32; 2], [dx, dy]: [f32; 2], rng: &mut Pcg64) {
        let radius = TABLET * self.pitch;
        let start = between(rng, 0.5, 0.95) * radius;
        let end = between(rng, 0.2, 0.8) * radius;
        let bend = between(rng, -0.6, 0.6) * radius;
        let points = curve(
            [centre[0] + dx * start, centre[1] + dy * start],
            [centre[0] - dy * bend, centre[1] + dx * bend],
            [centre[0] - dx * end, centre[1] - dy * end],
        );
        let salt = rng.random::<u64>();
        let ragged: Vec<_> = points
            .iter()
            .map(|&[x, y]| {
                let off = |salt| 3.0 * (value_noise(x * 0.22, y * 0.22, salt) - 0.5);
                [x + off(salt), y + off(salt ^ 5)]
            })
            .collect();
        let width = between(rng, 0.7, 1.6);
        along(&ragged, width + 0.7, surface, |surface, i, distance| {
            let cover = 1.0 - smoothstep(width - 0.6, width + 0.7, distance);
            surface.tint(i, [0.16, 0.14, 0.12], 0.75 * cover);
            surface.height[i] -= 1.5 * cover;
        });
    }

    /// Dark specks or a greasy smear on a tablet.
    fn contamination(&self, surface: &mut Surface, centre: [f32; 2], rng: &mut Pcg64) {
        let radius = TABLET * self.pitch;
        let smear = rng.random::<f32>() < 0.4;
        let count = if smear { 1 } else { rng.random_range(1..5) };
        for _ in 0..count {
            let (turn, away) = (
                between(rng, 0.0, std::f32::consts::TAU),
                between(rng, 0.0, 0.6) * radius,
            );
            let [x, y] = [
                centre[0] + away * libm::cosf(turn),
                centre[1] + away * libm::sinf(turn),
            ];
            let spot = if smear {
                between(rng, 7.0, 16.0)
            } else {
                between(rng, 1.6, 4.0)
            };
            let (color, strength) = if smear {
                ([0.4, 0.33, 0.2], between(rng, 0.3, 0.6))
            } else {
                ([0.07, 0.06, 0.05], between(rng, 0.6, 0.95))
            };
            let salt = rng.random::<u64>();
            for i in 0..surface.albedo.len() {
                let (px, py) = ((i % surface.size) as f32, (i / surface.size) as f32);
                let wander = 0.6 + 0.8 * value_noise(px / spot * 1.4, py / spot * 1.4, salt);
                let distance = length(px - x, py - y) / (spot * wander);
                if distance < 1.2 && length(px - centre[0], py - centre[1]) < radius {
                    surface.tint(i, color, strength * (1.0 - smoothstep(0.7, 1.2, distance)));
                }
            }
        }
    }
}

fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

/// A cell and the eight around it, itself last so that its own tablet lies on top.
fn neighbours([column, row]: Cell) -> impl Iterator<Item = Cell> {
    (-1..=1)
        .flat_map(move |dy| (-1..=1).map(move |dx| [column + dx, row + dy]))
        .filter(move |cell| *cell != [column, row])
        .chain(std::iter::once([column, row]))
}
