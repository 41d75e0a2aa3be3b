//! Shapes that tell curves apart without colour.

/// How many there are: disc, square, triangle, diamond, triangle upside down, plus.
pub const SHAPES: usize = 6;

/// Shape `index` modulo [`SHAPES`] about a centre, as a part of a path; `radius` is that of the circle, and the others look as large.
pub fn marker(index: usize, x: f64, y: f64, radius: f64) -> String {
    let polygon = |corners: &[(f64, f64)]| {
        let corner = |&(dx, dy): &(f64, f64)| format!("{:.1} {:.1}", x + dx * radius, y + dy * radius);
        format!("M{}Z", corners.iter().map(corner).collect::<Vec<_>>().join("L"))
    };
    match index % SHAPES {
        0 => format!(
            "M{:.1} {y:.1}a{radius} {radius} 0 1 0 {} 0a{radius} {radius} 0 1 0 -{} 0Z",
            x - radius,
            2.0 * radius,
            2.0 * radius
        ),
        1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        2 => polygon(&[(0.0, -1.25), (1.15, 0.85), (-1.15, 0.85)]),
        3 => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
        4 => polygon(&[(0.0, 1.25), (1.15, -0.85), (-1.15, -0.85)]),
        _ => {
            let (arm, reach) = (0.4, 1.3);
            polygon(&[
                (-arm, -reach),
                (arm, -reach),
                (arm, -arm),
                (reach, -arm),
                (reach, arm),
                (arm, arm),
                (arm, reach),
                (-arm, reach),
                (-arm, arm),
                (-reach, arm),
                (-reach, -arm),
                (-arm, -arm),
            ])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_another_and_about_its_centre() {
        let shapes: std::collections::BTreeSet<_> = (0..2 * SHAPES).map(|i| marker(i, 7.0, 9.0, 4.0)).collect();
        assert_eq!(shapes.len(), SHAPES);
        for shape in (1..SHAPES).map(|i| marker(i, 7.0, 9.0, 4.0)) {
            let corners = shape.trim_matches(['M', 'Z']).split('L').map(|corner| corner.split_once(' ').unwrap());
            for (x, y) in corners {
                let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                assert!((x - 7.0).abs() < 5.3 && (y - 9.0).abs() < 5.3, "{shape}");
            }
        }
    }
}
