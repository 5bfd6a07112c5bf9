use checkpointed::pipeline::step;

struct Solver;

impl Solver {
    #[step]
    fn solve(&self, limit: f64) -> f64 {
        limit
    }
}

#[step]
async fn fetch(url: &str) -> String {
    url.to_owned()
}

#[step]
unsafe fn call(number: u32) -> u32 {
    number
}

#[step]
fn sort(rows: &mut Vec<f64>) {
    rows.sort_by(f64::total_cmp);
}

#[step]
fn note(limit: f64, #[param] log: &mut Vec<f64>) {
    log.push(limit);
}

#[step]
fn count(total: Option<&mut u64>) {
    if let Some(total) = total {
        *total += 1;
    }
}

#[step]
fn add((one, other): (u32, u32)) -> u32 {
    one + other
}

#[step]
fn read(#[file] #[produces] path: &str) -> usize {
    path.len()
}

#[step(edition = 2)]
fn clean(limit: f64) -> f64 {
    limit
}

#[step(keep = 2, keep = 3)]
fn fit(degree: u32) -> u32 {
    degree
}

#[step(version)]
fn plot(degree: u32) -> u32 {
    degree
}

#[step]
struct Table {
    rows: Vec<f64>,
}

fn main() {}
