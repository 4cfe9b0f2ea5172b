//! Woven cloth: warp and weft that cross over and under, each thread with a life of its own.

use rand::RngExt as _;
use rand_pcg::Pcg64;

use super::scene::{Surface, along, between, curve, hash, smoothstep, value_noise};

pub(super) const DEFECTS: &[&str] = &[
    "broken_thread",
    "hole",
    "stain",
    "slub",
    "crease",
    "foreign_fibre",
];

/// Threads across the picture.
const THREADS: f32 = 36.0;
/// Colours of warp and weft.
const WARP: [f32; 3] = [0.16, 0.24, 0.38];
const WEFT: [f32; 3] = [0.42, 0.46, 0.52];
/// What shows through a hole.
const BENCH: [f32; 3] = [0.03, 0.03, 0.035];

/// How the cloth lies on the bench.
struct Weave {
    /// Pixels per thread.
    pitch: f32,
    cosine: f32,
    sine: f32,
    shift: [f32; 2],
    salt: u64,
}

/// Changes of the weave itself; pictures without a defect have none.
#[derive(Default)]
struct Fault {
    /// Missing warp thread: its number, from and to along it (in threads).
    broken: Option<(i64, f32, f32)>,
    /// Thick weft thread: its number, from and to along it, factor.
    slub: Option<(i64, f32, f32, f32)>,
    /// Fold: a point on it, unit normal, half width in pixels, height.
    crease: Option<([f32; 2], [f32; 2], f32, f32)>,
}

pub(super) fn surface(size: usize, layout: &mut Pcg64, defect: Option<(&str, &mut Pcg64)>) -> Surface {
    let angle = between(layout, -0.035, 0.035);
    let weave = Weave {
        pitch: size as f32 / THREADS * between(layout, 0.97, 1.03),
        cosine: libm::cosf(angle),
        sine: libm::sinf(angle),
        shift: [between(layout, 0.0, 64.0), between(layout, 0.0, 64.0)],
        salt: layout.random(),
    };
    let mut fault = Fault::default();
    let Some((name, rng)) = defect else {
        return weave.draw(size, &fault);
    };
    let place = |rng: &mut Pcg64| {
        [
            between(rng, 0.15, 0.85) * size as f32,
            between(rng, 0.15, 0.85) * size as f32,
        ]
    };
    let centre = place(rng);
    let [u, v] = weave.threads_at(centre[0], centre[1]);
    match name {
        "broken_thread" => {
            let half = between(rng, 1.5, 7.0);
            fault.broken = Some((u.floor() as i64, v - half, v + half));
        }
        "slub" => {
            let half = between(rng, 1.5, 5.0);
            fault.slub = Some((v.floor() as i64, u - half, u + half, between(rng, 1.6, 2.3)));
        }
        "crease" => {
            let turn = between(rng, 0.0, std::f32::consts::TAU);
            let normal = [libm::cosf(turn), libm::sinf(turn)];
            fault.crease = Some((centre, normal, between(rng, 8.0, 22.0), between(rng, 3.0, 8.0)));
        }
        _ => {}
    }
    let mut surface = weave.draw(size, &fault);
    match name {
        "hole" => hole(&mut surface, centre, rng),
        "stain" => stain(&mut surface, centre, rng),
        "foreign_fibre" => foreign_fibre(&mut surface, centre, rng),
        _ => {}
    }
    surface
}

impl Weave {
    /// Position in units of threads, across the warp and across the weft.
    fn threads_at(&self, x: f32, y: f32) -> [f32; 2] {
        let u = (self.cosine * x + self.sine * y) / self.pitch + self.shift[0];
        let v = (self.cosine * y - self.sine * x) / self.pitch + self.shift[1];
        // yarn is never quite straight
        let bend =
            |a: f32, b: f32, salt: u64| 0.22 * (value_noise(a * 0.11, b * 0.11, self.salt ^ salt) - 0.5);
        [u + bend(u, v, 1), v + bend(v, u, 2)]
    }

    fn draw(&self, size: usize, fault: &Fault) -> Surface {
        let mut surface = Surface::flat(size, BENCH);
        for i in 0..size * size {
            let (mut x, mut y) = ((i % size) as f32, (i / size) as f32);
            let mut fold = 0.0;
            if let Some((centre, normal, width, height)) = fault.crease {
                let away = (x - centre[0]) * normal[0] + (y - centre[1]) * normal[1];
                let wave = libm::expf(-(away / width) * (away / width) * 2.0);
                fold = height * wave;
                // the cloth is pulled into the fold
                let pull = 0.5 * self.pitch * wave * if away < 0.0 { -1.0 } else { 1.0 };
                x += normal[0] * pull;
                y += normal[1] * pull;
            }
            let [u, v] = self.threads_at(x, y);
            let (color, height) = self.yarn(u, v, fault);
            surface.albedo[i] = color;
            surface.height[i] = height + fold;
            surface.gloss[i] = 0.02;
        }
        surface
    }

    /// Colour and height of the topmost thread at a place.
    fn yarn(&self, u: f32, v: f32, fault: &Fault) -> ([f32; 3], f32) {
        let (column, row) = (u.floor() as i64, v.floor() as i64);
        let warp_on_top = (column + row).rem_euclid(2) == 0;
        let broken = fault.broken.is_some_and(|(number, from, to)| {
            // frayed ends
            let fray = 0.6 * (hash((u * 9.0) as i64, number, self.salt) - 0.5);
            column == number && v > from + fray && v < to + fray
        });
        let warp = (!broken).then(|| self.thread(u, v, column, 3, 1.0, WARP));
        let thickness = match fault.slub {
            Some((number, from, to, factor)) => {
                let middle = smoothstep(from, from + 1.2, u) * (1.0 - smoothstep(to - 1.2, to, u));
                if row == number {
                    1.0 + (factor - 1.0) * middle
                } else {
                    1.0
                }
            }
            None => 1.0,
        };
        // a slub covers its neighbours
        if let Some((number, ..)) = fault.slub
            && (row - number).abs() <= 1
        {
            let weft = self.thread_of_slub(u, v, number, fault);
            if let Some(weft) = weft {
                return weft;
            }
        }
        let weft = self.thread(v, u, row, 4, thickness, WEFT);
        let under = if warp_on_top {
            weft
        } else {
            warp.unwrap_or((BENCH, 0.0))
        };
        let over = if warp_on_top { warp } else { Some(weft) };
        let lift = 1.1
            * libm::sinf(std::f32::consts::PI * (if warp_on_top { v - v.floor() } else { u - u.floor() }));
        match over {
            Some((color, height)) if height > 0.0 => (color, height + lift),
            _ => {
                let (color, height) = under;
                if height > 0.0 {
                    (color.map(|c| 0.55 * c), 0.4 * height)
                } else {
                    (BENCH, 0.0)
                }
            }
        }
    }

    /// The slub's own thread where it swells beyond its place.
    fn thread_of_slub(&self, u: f32, v: f32, number: i64, fault: &Fault) -> Option<([f32; 3], f32)> {
        let (_, from, to, factor) = fault.slub?;
        let swell = factor * smoothstep(from, from + 1.2, u) * (1.0 - smoothstep(to - 1.2, to, u));
        if swell <= 1.05 {
            return None;
        }
        let across = (v - number as f32 - 0.5) / (0.5 * swell);
        let profile = 1.0 - across * across;
        if profile <= 0.0 {
            return None;
        }
        let fibre = 0.85 + 0.3 * hash((u * 7.0) as i64, (v * 40.0) as i64, self.salt ^ 9);
        Some((
            WEFT.map(|c| c * fibre * 1.12),
            2.2 * profile.sqrt() * swell.min(1.8),
        ))
    }

    /// One thread: `across` and `along` it in threads, its number, a salt for its direction.
    fn thread(
        &self,
        across: f32,
        along: f32,
        number: i64,
        direction: u64,
        thickness: f32,
        color: [f32; 3],
    ) -> ([f32; 3], f32) {
        let salt = self.salt ^ direction;
        let uneven = 0.86 + 0.12 * value_noise(along * 0.35, number as f32 * 7.3, salt);
        let offset = (across - across.floor() - 0.5) / (0.5 * (uneven * thickness).min(1.0));
        let profile = 1.0 - offset * offset;
        if profile <= 0.0 {
            return (color, 0.0);
        }
        // fibres run along the thread, slightly twisted
        let twist = across * 9.0 + along * 1.6;
        let fibre = 0.84 + 0.32 * value_noise(along * 2.2, twist * 2.0, salt ^ 77);
        let dye = 0.93 + 0.14 * hash(number, 0, salt);
        (color.map(|c| c * fibre * dye), 1.6 * profile.sqrt())
    }
}

fn hole(surface: &mut Surface, centre: [f32; 2], rng: &mut Pcg64) {
    let radius = between(rng, 4.0, 20.0);
    let (salt, stretch) = (rng.random::<u64>(), between(rng, 0.6, 1.6));
    for i in 0..surface.albedo.len() {
        let (dx, dy) = (
            (i % surface.size) as f32 - centre[0],
            ((i / surface.size) as f32 - centre[1]) * stretch,
        );
        let distance = (dx * dx + dy * dy).sqrt();
        if distance > 2.5 * radius {
            continue;
        }
        // frayed: the edge wanders with the direction
        let edge =
            radius * (0.7 + 0.6 * value_noise(dx / radius * 2.5 + 40.0, dy / radius * 2.5 + 40.0, salt));
        if distance < edge {
            surface.albedo[i] = BENCH;
            surface.height[i] = 0.0;
            surface.gloss[i] = 0.0;
        } else if distance < edge + 3.0 {
            surface.height[i] += 1.0;
            surface.tint(i, WEFT, 0.35);
        }
    }
}

fn stain(surface: &mut Surface, centre: [f32; 2], rng: &mut Pcg64) {
    let radius = between(rng, 8.0, 60.0);
    let strength = between(rng, 0.22, 0.6);
    let salt = rng.random::<u64>();
    let filter = if rng.random::<bool>() {
        [0.62, 0.45, 0.26]
    } else {
        [0.3, 0.3, 0.34]
    };
    for i in 0..surface.albedo.len() {
        let (dx, dy) = (
            (i % surface.size) as f32 - centre[0],
            (i / surface.size) as f32 - centre[1],
        );
        let distance = (dx * dx + dy * dy).sqrt() / radius;
        if distance > 1.8 {
            continue;
        }
        let edge = 0.6 + 0.7 * value_noise(dx / radius * 1.8 + 9.0, dy / radius * 1.8 + 9.0, salt);
        // liquids leave a rim
        let soak = (1.0 - smoothstep(edge - 0.12, edge, distance))
            * (0.8 + 0.4 * smoothstep(edge - 0.3, edge, distance));
        for (value, factor) in surface.albedo[i].iter_mut().zip(filter) {
            *value *= 1.0 - strength * soak.min(1.0) * (1.0 - factor);
        }
    }
}

fn foreign_fibre(surface: &mut Surface, centre: [f32; 2], rng: &mut Pcg64) {
    let length = between(rng, 14.0, 70.0);
    let turn = between(rng, 0.0, std::f32::consts::TAU);
    let (dx, dy) = (libm::cosf(turn) * length, libm::sinf(turn) * length);
    let bend = [between(rng, -0.8, 0.8) * length, between(rng, -0.8, 0.8) * length];
    let points = curve(
        [centre[0] - dx, centre[1] - dy],
        [centre[0] + bend[0], centre[1] + bend[1]],
        [centre[0] + dx, centre[1] + dy],
    );
    let color = [
        [0.62, 0.08, 0.07],
        [0.02, 0.02, 0.02],
        [0.85, 0.83, 0.78],
        [0.5, 0.42, 0.1],
    ][rng.random_range(0..4)];
    let radius = between(rng, 0.9, 2.0);
    along(&points, radius + 0.6, surface, |surface, i, distance| {
        let cover = 1.0 - smoothstep(radius - 0.4, radius + 0.6, distance);
        surface.tint(i, color, cover);
        surface.height[i] = surface.height[i] * (1.0 - cover) + cover * (3.0 + (radius - distance).max(0.0));
    });
}
