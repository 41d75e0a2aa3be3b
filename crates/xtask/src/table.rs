//! Aligned columns for the terminal: the first to the left, the others to the right.

/// The rows as lines, columns two spaces apart. Every row has as many cells as the first.
pub fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            if column == 0 {
                line.push_str(&format!("{cell:<width$}"));
            } else {
                line.push_str(&format!("  {cell:>width$}"));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_under_each_other() {
        let rows = [["step", "s"], ["fmt", "0.5"], ["clippy", "12.0"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(align(&rows), "step       s\nfmt      0.5\nclippy  12.0\n");
    }

    #[test]
    fn a_table_without_rows_is_empty() {
        assert_eq!(align(&[]), "");
    }
}
