//! `bio-mcp`: the archive of the biomedical literature on one machine.

fn main() -> std::process::ExitCode {
    cli::main()
}
