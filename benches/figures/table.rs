//! Columns of runs, printed as their median with the least and the most.

pub struct Column {
    name: &'static str,
    values: Vec<f64>,
}

impl Column {
    pub fn new(name: &'static str) -> Column {
        Column {
            name,
            values: Vec::new(),
        }
    }

    pub fn add(&mut self, value: f64) {
        self.values.push(value);
    }
}

/// The middle of some values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub fn print(title: &str, columns: &[Column]) {
    println!("\n## {title}\n\n| figure | median | least | most |\n|---|---|---|---|");
    for column in columns.iter().filter(|it| !it.values.is_empty()) {
        let least = column.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = column.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        println!(
            "| {} | {:.3} | {least:.3} | {most:.3} |",
            column.name,
            median(column.values.clone())
        );
    }
}
