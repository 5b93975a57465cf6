# Sourced by scripts that call cargo, from the root of the project. rustup selects the compiler of rust-toolchain.toml
# by its name; if the same version is installed as `stable`, that is used and nothing is downloaded.
if [ -z "${RUSTUP_TOOLCHAIN:-}" ] && command -v rustup >/dev/null 2>&1; then
    wanted_rust=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
    if ! rustup run "$wanted_rust" rustc --version >/dev/null 2>&1; then
        case $(rustup run stable rustc --version 2>/dev/null) in
            "rustc $wanted_rust "*) export RUSTUP_TOOLCHAIN=stable ;;
        esac
    fi
    unset wanted_rust
fi
