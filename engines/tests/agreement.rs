use headwater_core::media::Kind;
#[test]
fn show() {
    for scenario in headwater_engines::scripts::ALL {
        for seed in 1..=3 {
            let script = scenario.script(seed);
            if headwater_engines::turmoil::supports(&script).is_err() { continue; }
            let a = headwater_engines::simulator::play(&script);
            let b = headwater_engines::turmoil::play(&script).unwrap();
            match a { Ok(a) => {
            println!("{} {seed} link {:?} fo sim {:?} tur {:?} gaps {:?} {:?}", scenario.name, script.link, a.failovers(), b.failovers(), a.gaps(), b.gaps());
            for (x, y) in a.viewers.iter().zip(&b.viewers) { for k in [Kind::Video, Kind::Audio] {
                println!("   {} {k:?} {:?}\n              {:?}", x.name, x.frames(k), y.frames(k)); } }
            } Err(e) => println!("{} {seed} {}", scenario.name, e.to_string().lines().next().unwrap()) }
        }
    }
}
