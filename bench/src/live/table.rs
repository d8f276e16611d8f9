//! What was measured, as tables.

use crate::process::median;

/// A column: its title, and how many digits it shows.
pub(super) struct Column {
    title: &'static str,
    digits: usize,
}

pub(super) const fn column(title: &'static str, digits: usize) -> Column {
    Column { title, digits }
}

/// What the rounds with one server gave.
pub(super) struct Row {
    pub(super) label: &'static str,
    /// A figure for each column, round after round.
    pub(super) rounds: Vec<Vec<f64>>,
    /// Why there is none, or none after these.
    pub(super) trouble: Option<String>,
}

impl Row {
    fn middle(&self, column: usize) -> f64 {
        median(&mut self.rounds.iter().filter_map(|figures| figures.get(column).copied()).collect::<Vec<_>>())
    }
}

/// One round in a few words.
pub(super) fn glance(columns: &[Column], figures: &[f64]) -> String {
    let said: Vec<String> =
        columns.iter().zip(figures).map(|(c, f)| format!("{} {}", show(*f, c), c.title)).collect();
    said.join(", ")
}

/// Prints a case: medians of the rounds. Ratios are made of the first column, ours in the first row over the others.
pub(super) fn print(title: &str, columns: &[Column], rows: &[Row], wanted: &str) {
    println!("{title}");
    let width = |c: &Column| c.title.chars().count().max(7) + 2;
    let heads: String = columns.iter().map(|c| format!("{:>1$}", c.title, width(c))).collect();
    let names = rows.iter().map(|r| r.label.chars().count()).max().unwrap_or(0);
    println!("  {:<names$}{heads}{:>10}", "server", "ours/its");
    let ours = rows.first().map_or(f64::NAN, |row| row.middle(0));
    for row in rows {
        if !row.rounds.is_empty() {
            let figures: String = columns
                .iter()
                .enumerate()
                .map(|(i, c)| format!("{:>1$}", show(row.middle(i), c), width(c)))
                .collect();
            let ratio = ours / row.middle(0);
            let ratio = if ratio.is_nan() { "-".into() } else { format!("{ratio:.2}") };
            println!("  {:<names$}{figures}{ratio:>10}", row.label);
        }
        if let Some(trouble) = &row.trouble {
            println!("  {:<names$}  {trouble}", row.label);
        }
    }
    println!("  wanted of yizhan: {wanted}\n");
}

fn show(figure: f64, column: &Column) -> String {
    if figure.is_nan() { "-".into() } else { format!("{figure:.*}", column.digits) }
}
