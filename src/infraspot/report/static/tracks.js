"use strict";

// The page of tracks against true tracks.

const scores = report.scores;
const after = scores.after;

header(report.title, `${plural(scores.sequences, "sequence")}, ${plural(after.true_tracks, "true track")}, output ${scores.output}; a point within ${scores.gate} pixels counts as a hit, an hour is at ${scores.fps} frames a second.`);
page.append(make("div", { class: "tiles" },
  tile("True tracks found", fixed(after.track_pd)), tile("False tracks", String(after.false_tracks ?? "–")),
  tile("False tracks an hour", short(after.false_tracks_per_hour)), tile("Frames to confirm", short(after.time_to_confirm), "", "median"),
  tile("HOTA", fixed(after.hota)), tile("MOTA", fixed(after.mota)),
));

const pointsPart = section("points", "Points, before and after tracking", `Detections are those above ${short(scores.threshold)}.`);
pointsPart.append(plain(["points", "Pd", "false a megapixel"], report.points));
const scorePart = section("scores", "Tracks", "");
scorePart.append(plain(["", "all", "without doubtful", "without still"], report.rows));

const tracksPart = section("tracks", "Every track", report.tracks_left_out ? `${plural(report.tracks_left_out, "track")} left out.` : "");
const table = sortable([
  { name: "sequence", of: (row) => row[0], wide: true }, { name: "track", of: (row) => row[1], number: true },
  { name: "first frame", of: (row) => row[2], number: true }, { name: "last", of: (row) => row[3], number: true },
  { name: "known in", of: (row) => row[4], number: true }, { name: "points", of: (row) => row[5], number: true },
  { name: "on a target", of: (row) => row[6], show: (row) => make("span", { class: row[6] < 0.5 ? "bad" : "", text: `${Math.round(100 * row[6])} %` }), number: true },
  { name: "off by, px", of: (row) => row[7], show: (row) => fixed(row[7], 2), number: true },
], { size: 25, sort: 6, caption: "Tracks" });
table.set(report.tracks);
tracksPart.append(table);

const paths = section("paths", "Paths", "True paths are dashed green, tracks orange, tracks that are off a target most of the time red." + (report.sequences_left_out ? ` ${plural(report.sequences_left_out, "sequence")} left out.` : ""));
const pictures = make("div", { class: "pair" });
paths.append(pictures);
for (const sequence of report.sequences) {
  const [height, width] = sequence.shape;
  pictures.append(make("figure", { class: "panel" },
    make("figcaption", { text: `${sequence.name}: ${plural(sequence.n_found, "track")}, ${sequence.n_true} true` }),
    svg("svg", { class: "tracks", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `paths of ${sequence.name}` },
      sequence.found.map(([path, right, id]) => svg("path", { class: right ? "" : "false", d: path }, svg("title", {}, `track ${id}`))),
      sequence.truth.map((path) => svg("path", { class: "truth", d: path })),
    )));
}

section("method", "How this was measured").append(facts([
  ["tracks", report.source.prediction], ["truth", report.source.truth], ["output", scores.output], ["gate", `${scores.gate} pixels`],
  ["threshold of single frames", short(scores.threshold)], ["frames a second", short(scores.fps)],
  ["left out", scores.left_out.length ? scores.left_out.join(", ") : "no sequence"],
]));
footer();
