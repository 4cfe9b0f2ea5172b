//! Colour spaces of bytes, as the reference's image library converts them. What it computes in tables (Lab, Luv) is computed
//! here by its formulas and can differ by rounding.

/// A colour space with a channel of brightness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    YCrCb,
    Hsv,
    Hls,
    Lab,
    Luv,
    Yuv,
}

/// Fraction bits of the weights of `YCrCb` and `YUV`.
const SHIFT: u32 = 14;
/// Weights of red, green and blue in the brightness.
const BRIGHTNESS: [i32; 3] = [4899, 9617, 1868];
/// Of red and blue less the brightness: as the channels of a colour, from there to red and blue, and to green.
const Y_CR_CB: [[i32; 2]; 3] = [[11682, 9241], [22987, 29049], [-11698, -5636]];
const Y_UV: [[i32; 2]; 3] = [[14369, 8061], [18678, 33292], [-9519, -6472]];

impl Space {
    pub(super) const ALL: [Self; 6] = [Self::YCrCb, Self::Hsv, Self::Hls, Self::Lab, Self::Luv, Self::Yuv];

    /// The place of the brightness.
    pub(super) fn brightness(self) -> usize {
        match self {
            Self::YCrCb | Self::Lab | Self::Luv | Self::Yuv => 0,
            Self::Hls => 1,
            Self::Hsv => 2,
        }
    }

    /// A colour of red, green and blue in this space.
    pub(super) fn of(self, rgb: [u8; 3]) -> [u8; 3] {
        match self {
            Self::YCrCb => to_differences(rgb, Y_CR_CB[0]),
            Self::Yuv => {
                let [y, v, u] = to_differences(rgb, Y_UV[0]);
                [y, u, v]
            }
            Self::Hsv => to_hsv(rgb),
            Self::Hls => to_hls(rgb),
            Self::Lab => to_lab(rgb),
            Self::Luv => to_luv(rgb),
        }
    }

    /// Red, green and blue of a colour in this space.
    pub(super) fn rgb(self, colour: [u8; 3]) -> [u8; 3] {
        match self {
            Self::YCrCb => from_differences(colour, Y_CR_CB),
            Self::Yuv => from_differences([colour[0], colour[2], colour[1]], Y_UV),
            Self::Hsv => from_hsv(colour),
            Self::Hls => from_hls(colour),
            Self::Lab => from_lab(colour),
            Self::Luv => from_luv(colour),
        }
    }
}

fn byte(value: f32) -> u8 {
    // casting saturates
    value.round_ties_even() as u8
}

fn scaled(value: i32) -> i32 {
    (value + (1 << (SHIFT - 1))) >> SHIFT
}

/// Brightness, and red and blue less the brightness.
fn to_differences([r, g, b]: [u8; 3], weights: [i32; 2]) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(i32::from);
    let y = scaled(r * BRIGHTNESS[0] + g * BRIGHTNESS[1] + b * BRIGHTNESS[2]);
    let difference = |value: i32, weight: i32| scaled((value - y) * weight + (128 << SHIFT));
    [y, difference(r, weights[0]), difference(b, weights[1])].map(|value| value.clamp(0, 255) as u8)
}

fn from_differences(
    [y, red, blue]: [u8; 3],
    [_, [to_red, to_blue], [red_green, blue_green]]: [[i32; 2]; 3],
) -> [u8; 3] {
    let (y, red, blue) = (i32::from(y), i32::from(red) - 128, i32::from(blue) - 128);
    let r = y + scaled(red * to_red);
    let g = y + scaled(blue * blue_green + red * red_green);
    let b = y + scaled(blue * to_blue);
    [r, g, b].map(|value| value.clamp(0, 255) as u8)
}

/// Hue in steps of two degrees, saturation, value.
fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    const BITS: i32 = 12;
    let rounded = |value: f64| value.round_ties_even() as i32;
    let [r, g, b] = [r, g, b].map(i32::from);
    let value = r.max(g).max(b);
    let spread = value - r.min(g).min(b);
    if spread == 0 {
        return [0, 0, value as u8];
    }
    let shift = |product: i32| (product + (1 << (BITS - 1))) >> BITS;
    let saturation = shift(spread * rounded(f64::from(255 << BITS) / f64::from(value)));
    let place = if value == r {
        g - b
    } else if value == g {
        b - r + 2 * spread
    } else {
        r - g + 4 * spread
    };
    let hue = shift(place * rounded(f64::from(180 << BITS) / (6.0 * f64::from(spread))));
    [
        if hue < 0 { hue + 180 } else { hue } as u8,
        saturation as u8,
        value as u8,
    ]
}

/// The colour of a hue in sixths of the circle, from the four levels that it is mixed of.
fn of_sector(hue: f32, levels: impl Fn(f32) -> [f32; 4]) -> [u8; 3] {
    const BGR: [[usize; 3]; 6] = [[1, 3, 0], [1, 0, 2], [3, 0, 1], [0, 2, 1], [0, 1, 3], [2, 1, 0]];
    let sector = hue.floor();
    let levels = levels(hue - sector);
    let [b, g, r] = BGR[(sector as usize) % 6].map(|place| byte(255.0 * levels[place]));
    [r, g, b]
}

/// Sixths of the circle in a step of the hue.
const SIXTHS: f32 = 6.0 / 180.0;

fn from_hsv([h, s, v]: [u8; 3]) -> [u8; 3] {
    let (s, v) = (f32::from(s) / 255.0, f32::from(v) / 255.0);
    of_sector(f32::from(h) * SIXTHS, |place| {
        [
            v,
            v * (1.0 - s),
            v * (1.0 - s * place),
            v * (1.0 - s * (1.0 - place)),
        ]
    })
}

/// Hue in steps of two degrees, lightness, saturation.
fn to_hls(rgb: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = rgb.map(|value| f32::from(value) / 255.0);
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let (spread, lightness) = (most - least, (most + least) / 2.0);
    if spread <= f32::EPSILON {
        return [0, byte(255.0 * lightness), 0];
    }
    let whole = if lightness < 0.5 {
        most + least
    } else {
        2.0 - most - least
    };
    let degrees = if most == r {
        60.0 * (g - b) / spread
    } else if most == g {
        60.0 * (b - r) / spread + 120.0
    } else {
        60.0 * (r - g) / spread + 240.0
    };
    let degrees = if degrees < 0.0 { degrees + 360.0 } else { degrees };
    [
        byte(degrees / 2.0),
        byte(255.0 * lightness),
        byte(255.0 * spread / whole),
    ]
}

fn from_hls([h, l, s]: [u8; 3]) -> [u8; 3] {
    let (l, s) = (f32::from(l) / 255.0, f32::from(s) / 255.0);
    let most = if l <= 0.5 { l * (1.0 + s) } else { l + s - l * s };
    let least = 2.0 * l - most;
    of_sector(f32::from(h) * SIXTHS, |place| {
        let rising = least + (most - least) * place;
        [most, least, most + least - rising, rising]
    })
}

/// The white of daylight (D65), which the values of `XYZ` refer to.
const WHITE: [f32; 3] = [0.950_456, 1.0, 1.088_754];
/// From linear red, green and blue to `XYZ`, and back.
const TO_XYZ: [[f32; 3]; 3] = [
    [0.412_453, 0.357_580, 0.180_423],
    [0.212_671, 0.715_160, 0.072_169],
    [0.019_334, 0.119_193, 0.950_227],
];
const FROM_XYZ: [[f32; 3]; 3] = [
    [3.240_479, -1.537_15, -0.498_535],
    [-0.969_256, 1.875_991, 0.041_556],
    [0.055_648, -0.204_043, 1.057_311],
];
/// Where the cube root of the lightness gives way to a line.
const DARK: f32 = 0.008_856;

fn times(matrix: [[f32; 3]; 3], vector: [f32; 3]) -> [f32; 3] {
    matrix.map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum())
}

fn to_xyz(rgb: [u8; 3]) -> [f32; 3] {
    let linear = |value: u8| {
        let value = f32::from(value) / 255.0;
        match value <= 0.040_45 {
            true => value / 12.92,
            false => libm::powf((value + 0.055) / 1.055, 2.4),
        }
    };
    times(TO_XYZ, rgb.map(linear))
}

fn from_xyz(xyz: [f32; 3]) -> [u8; 3] {
    times(FROM_XYZ, xyz).map(|value| {
        let value = value.clamp(0.0, 1.0);
        byte(
            255.0
                * match value <= 0.003_130_8 {
                    true => 12.92 * value,
                    false => 1.055 * libm::powf(value, 1.0 / 2.4) - 0.055,
                },
        )
    })
}

fn root(value: f32) -> f32 {
    match value > DARK {
        true => libm::cbrtf(value),
        false => 7.787 * value + 16.0 / 116.0,
    }
}

fn lightness(y: f32) -> f32 {
    match y > DARK {
        true => 116.0 * libm::cbrtf(y) - 16.0,
        false => 903.3 * y,
    }
}

/// `Y` of a lightness from 0 to 100.
fn of_lightness(lightness: f32) -> f32 {
    match lightness > 8.0 {
        true => libm::powf((lightness + 16.0) / 116.0, 3.0),
        false => lightness / 903.3,
    }
}

fn to_lab(rgb: [u8; 3]) -> [u8; 3] {
    let xyz = to_xyz(rgb);
    let [x, y, z] = [0, 1, 2].map(|i| root(xyz[i] / WHITE[i]));
    [
        2.55 * lightness(xyz[1]),
        500.0 * (x - y) + 128.0,
        200.0 * (y - z) + 128.0,
    ]
    .map(byte)
}

fn from_lab([l, a, b]: [u8; 3]) -> [u8; 3] {
    let y = of_lightness(f32::from(l) / 2.55);
    let middle = root(y);
    let of_root = |root: f32| match root > 0.206_893 {
        true => root * root * root,
        false => (root - 16.0 / 116.0) / 7.787,
    };
    let x = of_root(middle + (f32::from(a) - 128.0) / 500.0);
    let z = of_root(middle - (f32::from(b) - 128.0) / 200.0);
    from_xyz([x * WHITE[0], y, z * WHITE[2]])
}

/// Chromaticity of a colour (CIE 1976).
fn chromaticity([x, y, z]: [f32; 3]) -> [f32; 2] {
    let whole = (x + 15.0 * y + 3.0 * z).max(f32::EPSILON);
    [4.0 * x / whole, 9.0 * y / whole]
}

/// Reach and lowest value of the two channels of colour of `Luv`.
const LUV: [[f32; 2]; 2] = [[354.0, -134.0], [262.0, -140.0]];

fn to_luv(rgb: [u8; 3]) -> [u8; 3] {
    let xyz = to_xyz(rgb);
    let lightness = lightness(xyz[1]);
    let (own, white) = (chromaticity(xyz), chromaticity(WHITE));
    let channel = |i: usize| {
        let [reach, lowest] = LUV[i];
        (13.0 * lightness * (own[i] - white[i]) - lowest) * 255.0 / reach
    };
    [2.55 * lightness, channel(0), channel(1)].map(byte)
}

fn from_luv([l, u, v]: [u8; 3]) -> [u8; 3] {
    /// Keeps what divides by the darkest colours finite, as the reference's library does.
    const MOST: f32 = 0.25;
    let lightness = f32::from(l) / 2.55;
    let white = chromaticity(WHITE);
    let channel = |value: u8, i: usize| {
        let [reach, lowest] = LUV[i];
        f32::from(value) * reach / 255.0 + lowest + 13.0 * lightness * white[i]
    };
    let y = of_lightness(lightness);
    let u = 3.0 * channel(u, 0);
    let v = (0.25 / channel(v, 1)).clamp(-MOST, MOST);
    from_xyz([3.0 * y * u * v, y, y * ((156.0 * lightness - u) * v - 5.0)])
}
