//! `ztlib`: the desk of a service author and of a policy author. What policies are asked is done by
//! the library; here it is asked for and printed.

mod args;
mod bench;
mod build;
mod component;
mod explain;
mod failure;
mod init;
mod inspect;
mod keys;
mod lint;
mod names;
mod new;
mod new_files;
mod pin;
mod replay;
mod show;
mod signature;
mod suggest;
mod test;
mod token;
mod toolchain;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command, DeskCommand, PolicyCommand, SetCommand};
use failure::{FAILED, Failure};
use show::Desk;

/// How a command ended that could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    /// Tests or lints failed, or a replay found changes; they are printed already.
    Failed,
}

fn main() -> ExitCode {
    // A wrong command line ends here, with 2 and a suggestion.
    let cli = Cli::parse();
    let mut out = io::stdout().lock();
    let mut desk = Desk { out: &mut out, json: cli.json };
    let failure = match run(cli.command, &mut desk) {
        Ok(Ended::Well) => return ExitCode::SUCCESS,
        Ok(Ended::Failed) => return ExitCode::from(FAILED),
        Err(failure) => failure,
    };
    // The reader has read enough (`ztlib … | head`): there is nobody to tell.
    if failure.exit != 0 {
        let told = match cli.json {
            true => desk.value(&failure.json()),
            false => writeln!(io::stderr().lock(), "error: {}", failure.text()),
        };
        drop(told);
    }
    ExitCode::from(failure.exit)
}

fn run(command: Command, desk: &mut Desk<'_>) -> Result<Ended, Failure> {
    match command {
        Command::Init(init) => init::run(&init, desk),
        Command::Desk(DeskCommand::Keys(keys)) => keys::run(&keys, desk),
        Command::Desk(DeskCommand::Token(token)) => token::run(&token, desk),
        Command::Policy(PolicyCommand::New(new)) => new::run(&new, desk),
        Command::Policy(PolicyCommand::Build(build)) => build::run(&build, desk),
        Command::Policy(PolicyCommand::Test(test)) => test::run(&test, desk),
        Command::Policy(PolicyCommand::Explain(explain)) => explain::run(&explain, desk),
        Command::Policy(PolicyCommand::Bench(bench)) => bench::run(&bench, desk),
        Command::Policy(PolicyCommand::Inspect(inspect)) => inspect::run(&inspect, desk),
        Command::Policy(PolicyCommand::Replay(replay)) => replay::run(&replay, desk),
        Command::Policy(PolicyCommand::Suggest(suggest)) => suggest::run(&suggest, desk),
        Command::Policy(PolicyCommand::Pin(pin)) => pin::run(&pin, desk),
        Command::Policy(PolicyCommand::Sign(sign)) => signature::sign(&sign, desk),
        Command::Policy(PolicyCommand::Verify(verify)) => signature::verify(&verify, desk),
        Command::Set(SetCommand::Lint(lint)) => lint::run(&lint, desk),
        Command::Completions { shell } => {
            // It panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ztlib", &mut script);
            desk.out.write_all(&script)?;
            Ok(Ended::Well)
        }
    }
}
