//! Numbers as people read them: three significant digits, thin spaces between thousands.

use wasm_bindgen::JsValue;

/// Three significant digits: `0.0123`, `1.23`, `12.3`, `123`, `1 230 000`, `1.2e-7`.
pub fn three(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string().replace("inf", "∞").replace('-', "−");
    }
    let magnitude = value.abs();
    let text = if magnitude == 0.0 {
        "0".into()
    } else if magnitude < 1e-4 {
        format!("{value:.1e}")
    } else if magnitude < 999.5 {
        // Digits after the point so that three are significant, after rounding (9.996 is 10.0).
        let digits = (2 - magnitude.log10().floor() as i32).max(0) as usize;
        let rounded = format!("{value:.digits$}");
        let significant = rounded.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
        if significant > 3 { format!("{value:.*}", digits - 1) } else { rounded }
    } else {
        return count_signed(value);
    };
    text.replace('-', "−")
}

fn count_signed(value: f64) -> String {
    let step = 10_f64.powi(value.abs().log10().floor() as i32 - 2);
    let rounded = (value / step).round() * step;
    let sign = if rounded < 0.0 { "−" } else { "" };
    format!("{sign}{}", count(rounded.abs() as u64))
}

/// A whole number with thin spaces between thousands.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A finite number in decimal digits. In a page the browser reads it: Rust would need a table of 10 KB for that.
pub fn parse(text: &str) -> Option<f64> {
    let is_plain = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c));
    let number = match is_plain {
        true if cfg!(target_family = "wasm") => JsValue::from_str(text).unchecked_into_f64(),
        true => text.parse().ok()?,
        false => return None,
    };
    number.is_finite().then_some(number)
}

/// A size in bytes: `818 B`, `1.62 MB`.
pub fn bytes(value: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let power = if value < 1.0 { 0 } else { ((value.log10() / 3.0) as usize).min(units.len() - 1) };
    format!("{}\u{202f}{}", three(value / 1000_f64.powi(power as i32)), units[power])
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{}\u{202f}%", three(share * 100.0))
}

/// A token's text with white space made visible: `·` a space, `↵` a line's end, `→` a tab.
pub fn visible(token: &str) -> String {
    token.replace(' ', "·").replace('\n', "↵").replace('\t', "→").replace('\r', "␍")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_significant() {
        for (value, text) in [
            (0.0, "0"),
            (0.012_345, "0.0123"),
            (1.0, "1.00"),
            (9.996, "10.0"),
            (0.099_96, "0.100"),
            (999.4, "999"),
            (99.96, "100"),
            (-12.34, "−12.3"),
            (123.4, "123"),
            (999.6, "1\u{202f}000"),
            (818_048.0, "818\u{202f}000"),
            (1.23e-7, "1.2e−7"),
            (f64::NEG_INFINITY, "−∞"),
        ] {
            assert_eq!(three(value), text, "{value}");
        }
    }

    #[test]
    fn numbers_are_read() {
        for (text, number) in [("0.8", 0.8), ("-1e-3", -1e-3), ("+.5", 0.5), ("2.", 2.0)] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
        for text in ["", " 1", "0x10", "inf", "NaN", "1e999", "-", "1.2.3", "1 000"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1000), "1\u{202f}000");
        assert_eq!(count(818_048), "818\u{202f}048");
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes(0.0), "0\u{202f}B");
        assert_eq!(bytes(1_620_000.0), "1.62\u{202f}MB");
    }

    #[test]
    fn white_space_is_seen() {
        assert_eq!(visible("a b\n\t"), "a·b↵→");
    }
}
