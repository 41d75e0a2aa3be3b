//! Numbers, sizes, times and tables as people read them.

use std::path::Path;
use std::time::Duration;

/// `1115394` → `1,115,394`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Binary units, three significant digits: `1115394` → `1.06 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    // 1023.5 and up would print as "1024 KiB".
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// The two most significant units: `850 ms`, `12.3 s`, `4 m 05 s`, `1 h 02 m`, `3 d 04 h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..3600 => format!("{} m {:02} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {:02} m", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// [`duration`] of a number that may come from a file: what is negative or no number is none at all, what is too long the
/// longest there is.
pub fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
}

/// Floating-point operations: `5.21 MFLOP`; none are `0 FLOP`.
pub fn flops(n: f64) -> String {
    let (value, unit) = match n {
        0.0 => return "0 FLOP".into(),
        ..1e6 => (n / 1e3, "kFLOP"),
        ..1e9 => (n / 1e6, "MFLOP"),
        ..1e12 => (n / 1e9, "GFLOP"),
        _ => (n / 1e12, "TFLOP"),
    };
    format!("{value:.2} {unit}")
}

/// A path as a shell's argument: quoted where it has anything but `A-Z a-z 0-9 . _ / -`.
pub fn argument(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A command of this program as the user would type it: through cargo where cargo started us.
pub fn command_line(arguments: &str) -> String {
    let through_cargo = std::env::var_os("CARGO_PKG_NAME").is_some_and(|name| name == env!("CARGO_PKG_NAME"));
    let profile = if cfg!(debug_assertions) { "" } else { " --release" };
    match through_cargo {
        true => format!("cargo run -p trainer{profile} -- {arguments}"),
        false => format!("trainer {arguments}"),
    }
}

/// `name  value` lines, the values in one column.
pub fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

/// At most `most` characters, the rest of the text an ellipsis.
pub fn cut_end(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// At most `most` characters, with an ellipsis in the middle: names of runs differ at their ends.
pub fn cut_middle(text: &str, most: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= most {
        return text.into();
    }
    let (head, tail) = (most / 2, most - most / 2 - 1);
    characters[..head].iter().chain(&['…']).chain(&characters[characters.len() - tail..]).collect()
}

/// Columns that paragraphs are wrapped to: those of the narrowest terminal in use.
pub const WIDTH: usize = 80;

/// Words in lines of at most `width` columns that begin with `indent`; a word that is longer has a line of its own.
pub fn paragraph(text: &str, indent: &str, width: usize) -> String {
    let columns = |text: &str| text.chars().count();
    let mut lines = vec![indent.to_owned()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line == indent {
            *line += word;
        } else if columns(line) + 1 + columns(word) <= width {
            *line += &format!(" {word}");
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines.join("\n") + "\n"
}

/// How a column of a [`table`] is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Columns as wide as their widest cell, two spaces apart, no trailing blanks; the header comes first.
/// Every row has one cell per column.
pub fn table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([columns[column].0.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let mut text = String::new();
        for ((cell, &width), &(_, align)) in cells.iter().zip(&widths).zip(columns) {
            match align {
                Align::Left => text += &format!("{cell:<width$}  "),
                Align::Right => text += &format!("{cell:>width$}  "),
            }
        }
        text.trim_end().to_owned() + "\n"
    };
    let header: Vec<&str> = columns.iter().map(|column| column.0).collect();
    let mut text = line(&header);
    for row in rows {
        text += &line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_115_394, "1,115,394")] {
            assert_eq!(count(n), text);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn sizes_keep_three_digits_and_never_print_1024() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1_115_394, "1.06 MiB"),
            (1024 * 1024 - 1, "1.00 MiB"),
            (10 * 1024 - 1, "10.0 KiB"),
            (16 << 30, "16.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn times_use_the_two_largest_units() {
        for (seconds, text) in [
            (0.0, "0 ms"),
            (0.85, "850 ms"),
            (0.9999, "1.0 s"),
            (12.34, "12.3 s"),
            (59.99, "1 m 00 s"),
            (245.0, "4 m 05 s"),
            (3_720.0, "1 h 02 m"),
            (273_600.0, "3 d 04 h"),
        ] {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn times_that_no_clock_measured_are_shown_and_do_not_panic() {
        assert_eq!(seconds(12.34), "12.3 s");
        assert_eq!((seconds(-5.0), seconds(f64::NAN)), ("0 ms".into(), "0 ms".into()));
        assert_eq!((seconds(1e300), seconds(f64::INFINITY)), (duration(Duration::MAX), duration(Duration::MAX)));
    }

    #[test]
    fn paths_in_commands_are_quoted_where_a_shell_needs_it() {
        for (path, text) in [
            ("runs/tiny-2.b_c", "runs/tiny-2.b_c"),
            ("my runs/a", "'my runs/a'"),
            ("it's; rm $HOME", r"'it'\''s; rm $HOME'"),
            ("~/a", "'~/a'"),
            ("", "''"),
        ] {
            assert_eq!(argument(Path::new(path)), text);
        }
    }

    #[test]
    fn floating_point_operations_have_a_unit() {
        for (n, text) in [
            (0.0, "0 FLOP"),
            (450.0, "0.45 kFLOP"),
            (5.21e6, "5.21 MFLOP"),
            (6.8e7, "68.00 MFLOP"),
            (3e12, "3.00 TFLOP"),
        ] {
            assert_eq!(flops(n), text);
        }
    }

    #[test]
    fn fields_have_their_values_in_one_column() {
        assert_eq!(fields(&[("loss", "1.9".into()), ("tokens", "7".into())]), "loss    1.9\ntokens  7\n");
    }

    #[test]
    fn long_names_are_cut_at_the_end_or_in_the_middle() {
        assert_eq!((cut_end("äbcdef", 6), cut_end("äbcdef", 4)), ("äbcdef".into(), "äbc…".into()));
        assert_eq!((cut_middle("äbcdefg", 7), cut_middle("äbcdefg", 6)), ("äbcdefg".into(), "äbc…fg".into()));
    }

    #[test]
    fn paragraphs_break_between_words_at_the_width() {
        assert_eq!(paragraph("one two three", "  ", 9), "  one two\n  three\n");
        assert_eq!(paragraph("one two three", "  ", 8), "  one\n  two\n  three\n");
        assert_eq!(paragraph("a verylongword b", "", 5), "a\nverylongword\nb\n");
    }

    #[test]
    fn tables_align_numbers_to_the_right() {
        let rows = [vec!["wte".into(), "8,320".into()], vec!["ln_f.weight".into(), "128".into()]];
        let text = table(&[("name", Align::Left), ("values", Align::Right)], &rows);
        assert_eq!(text, "name         values\nwte           8,320\nln_f.weight     128\n");
    }
}
