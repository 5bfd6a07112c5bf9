use checkpointed::{Pipeline, pipeline::step};

#[step]
fn clean(rows: &[f64], limit: f64) -> Vec<f64> {
    rows.iter().copied().filter(|row| *row <= limit).collect()
}

fn main() -> Result<(), checkpointed::Error> {
    let pipeline = Pipeline::open("test.pipeline")?;
    clean::step(&pipeline, &vec![1.0], 2.0)?;
    Ok(())
}
