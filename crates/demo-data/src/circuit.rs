//! A printed circuit board, always the same one: traces under green lacquer, tinned pads, vias,
//! chips. The layers are drawn as vector graphics and laid upon each other.

use rand::RngExt as _;
use rand_pcg::Pcg64;
use tiny_skia::{FillRule, LineCap, LineJoin, Mask, Path, PathBuilder, Rect, Stroke, Transform};

use destseg_engine::data::image::unit_value;

use super::scene::{Surface, along, between, curve, smoothstep, value_noise};

pub(super) const DEFECTS: &[&str] = &[
    "flux_residue",
    "misplaced_part",
    "missing_part",
    "open_trace",
    "scratch",
    "solder_bridge",
];

/// The board's coordinates: the picture shows about this many units across.
const UNITS: f32 = 100.0;

/// What a layer is made of.
#[derive(Clone, Copy)]
struct Material {
    albedo: [f32; 3],
    gloss: f32,
    /// Thickness in pixels of a picture of 256 pixels.
    height: f32,
}

const LACQUER: Material = Material {
    albedo: [0.02, 0.15, 0.07],
    gloss: 0.18,
    height: 0.0,
};
const TRACE: Material = Material {
    albedo: [0.05, 0.29, 0.12],
    gloss: 0.22,
    height: 0.9,
};
const TIN: Material = Material {
    albedo: [0.5, 0.51, 0.5],
    gloss: 0.45,
    height: 1.2,
};
const COPPER: [f32; 3] = [0.55, 0.3, 0.16];
const HOLE: Material = Material {
    albedo: [0.01, 0.012, 0.01],
    gloss: 0.0,
    height: -2.0,
};
const PLASTIC: Material = Material {
    albedo: [0.03, 0.03, 0.034],
    gloss: 0.1,
    height: 5.0,
};
const CERAMIC: Material = Material {
    albedo: [0.36, 0.25, 0.15],
    gloss: 0.15,
    height: 3.0,
};
const PRINT: Material = Material {
    albedo: [0.75, 0.76, 0.72],
    gloss: 0.05,
    height: 0.2,
};

/// Traces: corners in board units. They run on beyond the picture.
const TRACES: &[&[[f32; 2]]] = &[
    &[[-10.0, 8.0], [30.0, 8.0], [36.0, 14.0], [36.0, 24.0]],
    &[[-10.0, 14.0], [26.0, 14.0], [32.0, 20.0], [32.0, 24.0]],
    &[[40.0, 24.0], [40.0, 10.0], [46.0, 4.0], [110.0, 4.0]],
    &[[44.0, 24.0], [44.0, 14.0], [50.0, 8.0], [76.0, 8.0], [76.0, 16.0]],
    &[[32.0, 44.0], [32.0, 52.0], [22.0, 62.0], [22.0, 110.0]],
    &[[36.0, 44.0], [36.0, 56.0], [28.0, 64.0], [28.0, 110.0]],
    &[[40.0, 44.0], [40.0, 58.0], [52.0, 70.0], [62.0, 70.0]],
    &[[44.0, 44.0], [44.0, 54.0], [55.0, 65.0], [62.0, 65.0]],
    &[[82.0, 65.0], [110.0, 65.0]],
    &[[82.0, 70.0], [92.0, 70.0], [98.0, 76.0], [98.0, 110.0]],
    &[[82.0, 75.0], [88.0, 75.0], [92.0, 79.0], [92.0, 110.0]],
    &[[62.0, 75.0], [50.0, 75.0], [40.0, 85.0], [40.0, 110.0]],
    &[[62.0, 80.0], [54.0, 80.0], [46.0, 88.0], [46.0, 110.0]],
    &[[76.0, 24.0], [76.0, 34.0], [66.0, 44.0], [58.0, 44.0]],
    &[
        [90.0, 20.0],
        [90.0, 36.0],
        [82.0, 44.0],
        [82.0, 52.0],
        [110.0, 52.0],
    ],
    &[[-10.0, 40.0], [8.0, 40.0], [14.0, 46.0], [14.0, 58.0]],
    &[[12.0, 30.0], [12.0, 22.0], [-10.0, 22.0]],
    &[[12.0, 74.0], [12.0, 110.0]],
];
const TRACE_WIDTH: f32 = 1.5;

/// Vias.
const VIAS: &[[f32; 2]] = &[
    [58.0, 44.0],
    [90.0, 20.0],
    [14.0, 58.0],
    [66.0, 92.0],
    [76.0, 92.0],
    [60.0, 20.0],
];

/// A part: middle, half extent of the body, whether it has legs above and below or left and right.
struct Part {
    centre: [f32; 2],
    body: [f32; 2],
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A chip with four legs on each of two sides: above and below, or left and right.
    ChipUpright,
    ChipLying,
    /// A resistor (black) or capacitor (brown) with two tinned ends, along y or x.
    Upright {
        brown: bool,
    },
    Lying {
        brown: bool,
    },
}

const PARTS: &[Part] = &[
    Part {
        centre: [38.0, 34.0],
        body: [9.0, 7.5],
        kind: Kind::ChipUpright,
    },
    Part {
        centre: [72.0, 72.5],
        body: [7.5, 11.0],
        kind: Kind::ChipLying,
    },
    Part {
        centre: [76.0, 20.0],
        body: [2.4, 4.6],
        kind: Kind::Upright { brown: false },
    },
    Part {
        centre: [12.0, 34.0],
        body: [2.4, 4.6],
        kind: Kind::Upright { brown: true },
    },
    Part {
        centre: [12.0, 68.0],
        body: [2.4, 4.6],
        kind: Kind::Upright { brown: false },
    },
    Part {
        centre: [60.0, 32.0],
        body: [4.6, 2.4],
        kind: Kind::Lying { brown: true },
    },
    Part {
        centre: [92.0, 92.0],
        body: [2.4, 4.6],
        kind: Kind::Upright { brown: true },
    },
    Part {
        centre: [58.0, 56.0],
        body: [4.6, 2.4],
        kind: Kind::Lying { brown: false },
    },
];
/// Legs of a chip on one side, and the distance between them.
const LEGS: i32 = 4;
const LEG_STEP: [f32; 2] = [4.0, 5.0];

/// What is wrong with the board itself.
#[derive(Default)]
struct Fault {
    missing: Option<usize>,
    /// Part, turn in degrees, shift.
    misplaced: Option<(usize, f32, [f32; 2])>,
    /// Middle and radius of a gap in the traces.
    open: Option<([f32; 2], f32)>,
    /// From a leg to the next, thickness.
    bridge: Option<([f32; 2], [f32; 2], f32)>,
}

/// How the board lies before the camera.
struct Board {
    size: usize,
    transform: Transform,
    salt: u64,
    /// Play of every part: shift in units and turn in degrees.
    play: Vec<[f32; 3]>,
}

pub(super) fn surface(size: usize, layout: &mut Pcg64, defect: Option<(&str, &mut Pcg64)>) -> Surface {
    let scale = size as f32 / UNITS * between(layout, 0.98, 1.02);
    let board = Board {
        size,
        transform: Transform::from_translate(-UNITS / 2.0, -UNITS / 2.0)
            .post_concat(Transform::from_rotate(between(layout, -1.5, 1.5)))
            .post_scale(scale, scale)
            .post_translate(
                size as f32 * between(layout, 0.485, 0.515),
                size as f32 * between(layout, 0.485, 0.515),
            ),
        salt: layout.random(),
        play: PARTS
            .iter()
            .map(|_| {
                [
                    between(layout, -0.25, 0.25),
                    between(layout, -0.25, 0.25),
                    between(layout, -1.5, 1.5),
                ]
            })
            .collect(),
    };
    let mut fault = Fault::default();
    let Some((name, rng)) = defect else {
        return board.draw(&fault);
    };
    match name {
        "missing_part" => fault.missing = Some(rng.random_range(0..PARTS.len())),
        "misplaced_part" => {
            let turn = between(rng, 7.0, 35.0) * if rng.random() { 1.0 } else { -1.0 };
            let shift = [between(rng, -2.0, 2.0), between(rng, -2.0, 2.0)];
            fault.misplaced = Some((rng.random_range(0..PARTS.len()), turn, shift));
        }
        "open_trace" => fault.open = Some((on_a_trace(rng), between(rng, 0.9, 2.4))),
        "solder_bridge" => {
            let chip = &PARTS[rng.random_range(0..2)];
            let legs = chip.legs();
            // legs come side by side
            let first = rng.random_range(0..LEGS as usize - 1) + LEGS as usize * rng.random_range(0..2);
            fault.bridge = Some((legs[first], legs[first + 1], between(rng, 0.5, 1.2)));
        }
        _ => {}
    }
    let mut surface = board.draw(&fault);
    match name {
        "scratch" => scratch(&mut surface, rng),
        "flux_residue" => flux_residue(&mut surface, rng),
        _ => {}
    }
    surface
}

/// A place on a trace that the picture shows and no part covers.
fn on_a_trace(rng: &mut Pcg64) -> [f32; 2] {
    const EDGE: f32 = 6.0;
    loop {
        let trace = TRACES[rng.random_range(0..TRACES.len())];
        let from = rng.random_range(0..trace.len() - 1);
        let t = rng.random::<f32>();
        let place: [f32; 2] =
            std::array::from_fn(|c| trace[from][c] + t * (trace[from + 1][c] - trace[from][c]));
        let inside = place.iter().all(|&c| (EDGE..UNITS - EDGE).contains(&c));
        let covered = PARTS
            .iter()
            .any(|part| (0..2).all(|c| (place[c] - part.centre[c]).abs() < part.body[c] + 4.0));
        if inside && !covered {
            return place;
        }
    }
}

impl Part {
    /// Middles of its tinned legs or ends.
    fn legs(&self) -> Vec<[f32; 2]> {
        let [x, y] = self.centre;
        let [w, h] = self.body;
        let offset = |i: i32, step: f32| (i as f32 - (LEGS - 1) as f32 / 2.0) * step;
        let sides = [-1.0, 1.0];
        match self.kind {
            Kind::ChipUpright => sides
                .iter()
                .flat_map(|s| (0..LEGS).map(move |i| [x + offset(i, LEG_STEP[0]), y + s * (h + 1.6)]))
                .collect(),
            Kind::ChipLying => sides
                .iter()
                .flat_map(|s| (0..LEGS).map(move |i| [x + s * (w + 1.6), y + offset(i, LEG_STEP[1])]))
                .collect(),
            Kind::Upright { .. } => sides.iter().map(|s| [x, y + s * (h - 0.6)]).collect(),
            Kind::Lying { .. } => sides.iter().map(|s| [x + s * (w - 0.6), y]).collect(),
        }
    }

    /// Half extent of a leg.
    fn leg_extent(&self) -> [f32; 2] {
        match self.kind {
            Kind::ChipUpright => [1.0, 2.2],
            Kind::ChipLying => [2.2, 1.0],
            Kind::Upright { .. } => [2.6, 1.9],
            Kind::Lying { .. } => [1.9, 2.6],
        }
    }
}

impl Board {
    fn draw(&self, fault: &Fault) -> Surface {
        let mut surface = Surface::flat(self.size, LACQUER.albedo);
        surface.gloss.fill(LACQUER.gloss);

        let traces = TRACES.iter().filter_map(|corners| line(corners, TRACE_WIDTH));
        let mut traces = self.layer(traces, Transform::identity());
        if let Some((centre, radius)) = fault.open {
            let gap = self.layer(
                PathBuilder::from_circle(centre[0], centre[1], radius),
                Transform::identity(),
            );
            for (trace, gap) in traces.iter_mut().zip(gap) {
                *trace *= 1.0 - gap;
            }
        }
        self.lay(&mut surface, &traces, TRACE);

        let circles = |radius: f32| {
            VIAS.iter()
                .filter_map(move |v| PathBuilder::from_circle(v[0], v[1], radius))
        };
        self.lay(
            &mut surface,
            &self.layer(circles(1.8), Transform::identity()),
            TIN,
        );
        self.lay(
            &mut surface,
            &self.layer(circles(0.9), Transform::identity()),
            HOLE,
        );

        // pads are larger than the legs that are soldered to them
        let pads = PARTS.iter().flat_map(|part| {
            let [w, h] = part.leg_extent();
            part.legs()
                .into_iter()
                .filter_map(move |leg| block(leg, [w + 0.3, h + 0.3]))
        });
        self.lay(&mut surface, &self.layer(pads, Transform::identity()), TIN);
        self.print(&mut surface);
        for (index, part) in PARTS.iter().enumerate() {
            if fault.missing != Some(index) {
                self.part(&mut surface, index, part, fault);
            }
        }
        if let Some((from, to, thickness)) = fault.bridge {
            let solder = self.layer(line(&[from, to], 2.0 * thickness), Transform::identity());
            self.lay(&mut surface, &solder, Material { height: 1.8, ..TIN });
        }
        for i in 0..surface.albedo.len() {
            let (x, y) = ((i % self.size) as f32, (i / self.size) as f32);
            let grain = value_noise(x * 0.7, y * 0.7, self.salt) - 0.5;
            for value in &mut surface.albedo[i] {
                *value *= 1.0 + 0.08 * grain;
            }
            surface.height[i] += 0.15 * grain;
        }
        surface
    }

    /// White outlines around the chips, and their names' underlines.
    fn print(&self, surface: &mut Surface) {
        let outlines = PARTS.iter().filter_map(|part| {
            let [x, y] = part.centre;
            let [w, h] = part.body;
            match part.kind {
                Kind::ChipUpright => {
                    let side = x - w - 1.2;
                    line(&[[side, y - h], [side, y + h]], 0.5)
                }
                Kind::ChipLying => {
                    let top = y - h - 1.2;
                    line(&[[x - w, top], [x + w, top]], 0.5)
                }
                Kind::Upright { .. } => line(&[[x + w + 1.4, y - 2.0], [x + w + 1.4, y + 2.0]], 0.5),
                Kind::Lying { .. } => line(&[[x - 2.0, y - h - 1.4], [x + 2.0, y - h - 1.4]], 0.5),
            }
        });
        self.lay(surface, &self.layer(outlines, Transform::identity()), PRINT);
    }

    fn part(&self, surface: &mut Surface, index: usize, part: &Part, fault: &Fault) {
        let [x, y] = part.centre;
        let [dx, dy, mut turn] = self.play[index];
        let mut shift = [dx, dy];
        if let Some((which, by, away)) = fault.misplaced
            && which == index
        {
            turn += by;
            shift = [shift[0] + away[0], shift[1] + away[1]];
        }
        let lie = Transform::from_rotate_at(turn, x, y).post_translate(shift[0], shift[1]);

        let [w, h] = part.leg_extent();
        let legs = part.legs().into_iter().filter_map(|leg| block(leg, [w, h]));
        let leg = Material { height: 1.0, ..TIN };
        let body = match part.kind {
            Kind::Upright { brown: true } | Kind::Lying { brown: true } => CERAMIC,
            Kind::Upright { .. } | Kind::Lying { .. } => Material {
                height: 2.5,
                ..PLASTIC
            },
            Kind::ChipUpright | Kind::ChipLying => PLASTIC,
        };
        let [w, h] = part.body;
        let inner = match part.kind {
            Kind::Upright { .. } => [w, h - 1.9],
            Kind::Lying { .. } => [w - 1.9, h],
            Kind::ChipUpright | Kind::ChipLying => [w, h],
        };
        // ends of resistors are as high as their bodies
        if body.height < PLASTIC.height {
            self.lay(
                surface,
                &self.layer(block([x, y], [w, h]), lie),
                Material {
                    height: body.height,
                    ..TIN
                },
            );
            self.lay(
                surface,
                &self.layer(block([x, y], inner), lie),
                Material { height: 0.3, ..body },
            );
        } else {
            self.lay(surface, &self.layer(legs, lie), leg);
            self.lay(surface, &self.layer(block([x, y], inner), lie), body);
            // the mark at the first leg
            let mark = PathBuilder::from_circle(x - w + 2.0, y - h + 2.0, 0.8);
            let dent = Material {
                albedo: [0.09; 3],
                gloss: 0.05,
                height: -0.6,
            };
            self.lay(surface, &self.layer(mark, lie), dent);
            let writing = [0.4f32, -1.2]
                .into_iter()
                .filter_map(|row| line(&[[x - 0.55 * w, y - row], [x + 0.55 * w, y - row]], 0.55));
            let ink = Material {
                albedo: [0.3; 3],
                gloss: 0.08,
                height: 0.0,
            };
            self.lay(surface, &self.layer(writing, lie), ink);
        }
    }

    /// How much of each pixel the shapes cover, in [0, 1].
    fn layer(&self, shapes: impl IntoIterator<Item = Path>, lie: Transform) -> Vec<f32> {
        let side = u32::try_from(self.size).unwrap_or(u32::MAX);
        let Some(mut mask) = Mask::new(side, side) else {
            return vec![0.0; self.size * self.size];
        };
        for shape in shapes {
            mask.fill_path(&shape, FillRule::Winding, true, lie.post_concat(self.transform));
        }
        mask.data().iter().copied().map(unit_value).collect()
    }

    /// Lays a material where its mask is.
    fn lay(&self, surface: &mut Surface, mask: &[f32], material: Material) {
        let scale = self.size as f32 / 256.0;
        for (i, &cover) in mask.iter().enumerate().filter(|(_, cover)| **cover > 0.0) {
            surface.tint(i, material.albedo, cover);
            surface.gloss[i] += (material.gloss - surface.gloss[i]) * cover;
            surface.height[i] += material.height * scale * cover;
        }
    }
}

/// A line with round ends and corners.
fn line(corners: &[[f32; 2]], width: f32) -> Option<Path> {
    let (first, rest) = corners.split_first()?;
    let mut path = PathBuilder::new();
    path.move_to(first[0], first[1]);
    for corner in rest {
        path.line_to(corner[0], corner[1]);
    }
    let stroke = Stroke {
        width,
        line_cap: LineCap::Round,
        line_join: LineJoin::Round,
        ..Stroke::default()
    };
    /// Finer than a pixel of the largest picture.
    const RESOLUTION: f32 = 8.0;
    path.finish()?.stroke(&stroke, RESOLUTION)
}

/// A rectangle from its middle and half extent.
fn block([x, y]: [f32; 2], [w, h]: [f32; 2]) -> Option<Path> {
    Rect::from_ltrb(x - w, y - h, x + w, y + h).map(PathBuilder::from_rect)
}

/// A scratch through the lacquer down to the copper.
fn scratch(surface: &mut Surface, rng: &mut Pcg64) {
    let size = surface.size as f32;
    let centre = [between(rng, 0.2, 0.8) * size, between(rng, 0.2, 0.8) * size];
    let turn = between(rng, 0.0, std::f32::consts::TAU);
    let half = between(rng, 0.05, 0.22) * size;
    let (dx, dy) = (libm::cosf(turn) * half, libm::sinf(turn) * half);
    let bend = between(rng, -0.25, 0.25);
    let points = curve(
        [centre[0] - dx, centre[1] - dy],
        [centre[0] - dy * bend, centre[1] + dx * bend],
        [centre[0] + dx, centre[1] + dy],
    );
    let width = between(rng, 0.6, 1.5);
    let strength = between(rng, 0.45, 0.95);
    let color = if rng.random() { COPPER } else { [0.2, 0.34, 0.22] };
    let salt = rng.random::<u64>();
    along(&points, width + 0.7, surface, |surface, i, distance| {
        let (x, y) = ((i % surface.size) as f32, (i / surface.size) as f32);
        let broken = 0.5 + 0.5 * smoothstep(0.2, 0.5, value_noise(x * 0.25, y * 0.25, salt));
        let cover = strength * broken * (1.0 - smoothstep(width - 0.5, width + 0.7, distance));
        surface.tint(i, color, cover);
        surface.height[i] -= 0.8 * cover;
    });
}

/// A glossy, yellowish film of flux.
fn flux_residue(surface: &mut Surface, rng: &mut Pcg64) {
    let size = surface.size as f32;
    let centre = [between(rng, 0.15, 0.85) * size, between(rng, 0.15, 0.85) * size];
    let radius = between(rng, 0.04, 0.14) * size;
    let strength = between(rng, 0.3, 0.6);
    let salt = rng.random::<u64>();
    for i in 0..surface.albedo.len() {
        let (dx, dy) = (
            (i % surface.size) as f32 - centre[0],
            (i / surface.size) as f32 - centre[1],
        );
        let distance = (dx * dx + dy * dy).sqrt() / radius;
        if distance > 1.6 {
            continue;
        }
        let edge = 0.6 + 0.7 * value_noise(dx / radius * 2.0 + 9.0, dy / radius * 2.0 + 9.0, salt);
        let film = (1.0 - smoothstep(edge - 0.2, edge, distance))
            * (0.7 + 0.3 * smoothstep(edge - 0.4, edge, distance));
        surface.tint(i, [0.36, 0.29, 0.1], strength * film);
        surface.gloss[i] += 0.2 * film;
        surface.height[i] += 1.5 * film;
    }
}
