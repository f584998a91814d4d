//! The program `mqtt`: publish, subscribe, a broker to try things on, a demonstration, and the simulator.
//!
//! One file for each command, and beside them what they share: the arguments ([`args`]), the connection with its
//! messages to the user ([`link`]), and how the program ends ([`exit`]).

mod args;
mod broker;
mod demo;
mod exit;
mod link;
mod publish;
mod replay;
mod sim;
mod subscribe;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::End;

/// Publish and subscribe over MQTT 3.1, 3.1.1 and 5.0.
#[derive(Debug, Parser)]
#[command(name = "mqtt", version, about, after_help = exit::HELP, max_term_width = 100)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Pub(publish::Arguments),
    Sub(subscribe::Arguments),
    Broker(broker::Arguments),
    Sim(Box<sim::Arguments>),
    Replay(replay::Arguments),
}

fn main() -> ExitCode {
    let ended = match Program::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Pub(arguments) => publish::run(&arguments),
        Command::Sub(arguments) => subscribe::run(&arguments),
        Command::Broker(arguments) => broker::run(&arguments),
        Command::Sim(arguments) => sim::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => end.report(),
    }
}

/// What every command returns.
type Ended = Result<(), End>;
