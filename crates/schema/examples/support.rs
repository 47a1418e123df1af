//! Prints the table of what is supported as Markdown, for the documentation:
//! `cargo run -p evenkeel-schema --example support`.

fn main() {
    print!("{}", evenkeel_schema::support::markdown());
}
