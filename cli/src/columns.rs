//! Rows in aligned columns, without a heading, as Heroku prints lists.

use crate::say;

/// Prints rows; every column but the last is as wide as its widest cell.
pub fn print(rows: Vec<Vec<String>>) {
    for line in lines(&rows) {
        say::line(line);
    }
}

fn lines(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| console::measure_text_width(cell))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let padding = width.saturating_sub(console::measure_text_width(cell));
                format!("{cell}{}", " ".repeat(padding))
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

/// `KEY:   value` for each pair, values aligned: Heroku's styled object.
pub fn print_pairs(pairs: &[(String, String)]) {
    let rows = pairs
        .iter()
        .map(|(key, value)| vec![format!("{key}:"), value.clone()]);
    print(rows.collect());
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["v1", "Deploy", "a"], vec!["v10", "Set", "b"]];
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| (*cell).to_owned()).collect())
            .collect();
        assert_eq!(lines(&rows), ["v1   Deploy  a", "v10  Set     b"]);
    }
}
