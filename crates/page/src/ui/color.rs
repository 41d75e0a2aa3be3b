//! Colours of data. Sequential ramps run from least to most, monotonic in lightness and interpolated in OKLab (Ottosson 2020); signed data
//! is centred on zero, blue below and orange above.

use std::sync::OnceLock;

/// Red, green, blue, 0 to 255.
pub type Rgb = [u8; 3];

const LIGHT: [u32; 6] = [0xeff6fd, 0xb4d6f3, 0x79b0e8, 0x5086d6, 0x3c58b4, 0x332f7e];
const DARK: [u32; 6] = [0x1b1f29, 0x30376c, 0x415aa9, 0x498cd5, 0x5bc3e9, 0xadf4f3];
const SIGNED_LIGHT: [u32; 5] = [0x084f8c, 0x6aa9dc, 0xf5f5f2, 0xf0a35e, 0xa84300];
const SIGNED_DARK: [u32; 5] = [0x8cc7ff, 0x2f6ea8, 0x20232b, 0xb0641f, 0xffbd80];

/// Colours are looked up in tables of so many steps: finer than eyes see.
const STEPS: usize = 256;

/// A colour of the sequential ramp: `share` from 0 to 1.
pub fn sequential(share: f32, dark: bool) -> Rgb {
    static TABLES: OnceLock<[Vec<Rgb>; 2]> = OnceLock::new();
    let tables = TABLES.get_or_init(|| [ramp(&LIGHT), ramp(&DARK)]);
    look_up(&tables[usize::from(dark)], share)
}

/// A colour of the signed ramp: `share` from -1 to 1.
pub fn signed(share: f32, dark: bool) -> Rgb {
    static TABLES: OnceLock<[Vec<Rgb>; 2]> = OnceLock::new();
    let tables = TABLES.get_or_init(|| [ramp(&SIGNED_LIGHT), ramp(&SIGNED_DARK)]);
    look_up(&tables[usize::from(dark)], (share + 1.0) / 2.0)
}

/// As CSS writes it.
pub fn css([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Black or white, whichever is read better on it.
pub fn ink_on(color: Rgb) -> &'static str {
    let [l, ..] = to_oklab(color);
    if l > 0.62 { "#111" } else { "#fff" }
}

fn look_up(table: &[Rgb], share: f32) -> Rgb {
    let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
    table[(share * (STEPS - 1) as f32).round() as usize]
}

fn ramp(stops: &[u32]) -> Vec<Rgb> {
    let stops: Vec<[f32; 3]> =
        stops.iter().map(|&hex| to_oklab([(hex >> 16) as u8, (hex >> 8) as u8, hex as u8])).collect();
    (0..STEPS)
        .map(|i| {
            let at = i as f32 / (STEPS - 1) as f32 * (stops.len() - 1) as f32;
            let low = (at as usize).min(stops.len() - 2);
            let mix = |k: usize| stops[low][k] + (stops[low + 1][k] - stops[low][k]) * (at - low as f32);
            from_oklab([mix(0), mix(1), mix(2)])
        })
        .collect()
}

fn to_oklab(color: Rgb) -> [f32; 3] {
    let [r, g, b] = color.map(|c| {
        let c = f32::from(c) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    });
    let l = (0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b).cbrt();
    let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
    let s = (0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b).cbrt();
    [
        0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
        1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
        0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
    ]
}

fn from_oklab([l, a, b]: [f32; 3]) -> Rgb {
    let cube = |x: f32| x * x * x;
    let long = cube(l + 0.396_337_78 * a + 0.215_803_76 * b);
    let medium = cube(l - 0.105_561_346 * a - 0.063_854_17 * b);
    let short = cube(l - 0.089_484_18 * a - 1.291_485_5 * b);
    let linear = [
        4.076_741_7 * long - 3.307_711_6 * medium + 0.230_969_93 * short,
        -1.268_438 * long + 2.609_757_4 * medium - 0.341_319_4 * short,
        -0.004_196_086_3 * long - 0.703_418_6 * medium + 1.707_614_7 * short,
    ];
    linear.map(|c| {
        let c = if c <= 0.003_130_8 { 12.92 * c } else { 1.055 * c.powf(1.0 / 2.4) - 0.055 };
        (c.clamp(0.0, 1.0) * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ramps_end_at_their_stops() {
        assert_eq!(css(sequential(0.0, false)), "#eff6fd");
        assert_eq!(css(sequential(1.0, false)), "#332f7e");
        assert_eq!(css(sequential(0.4, true)), "#415aa9");
        assert_eq!(css(signed(0.0, false)), css(signed(0.001, false)));
        assert_eq!(sequential(f32::NAN, true), sequential(-1.0, true));
    }

    #[test]
    fn lightness_is_monotonic() {
        for dark in [false, true] {
            let lightness: Vec<f32> = (0..STEPS).map(|i| to_oklab(sequential(i as f32 / 255.0, dark))[0]).collect();
            let sign = if dark { 1.0 } else { -1.0 };
            assert!(lightness.windows(2).all(|w| (w[1] - w[0]) * sign > -2e-3), "dark: {dark}");
        }
    }
}
