/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Zoom, search and details of a ptflame SVG.
 *
 * Every frame is <g class="frame" data-x data-w> with a <title>, a <rect> and perhaps a <text>; x and w are
 * in the graph's unit, so that zooming loses no precision. The root element has the layout:
 * data-total (the unit), data-left and data-width (pixels).
 */
"use strict";

(function () {
	var CHAR_WIDTH = 12 * 0.59, PADDING = 3, SMALLEST_TEXT = 3;
	var svg, layout, frames, ignoreCase = false, pattern = null;

	function element(id) {
		return document.getElementById(id);
	}

	function readFrame(g) {
		var title = g.querySelector("title").textContent;

		return {
			g: g,
			rect: g.querySelector("rect"),
			text: g.querySelector("text"),
			title: title,
			name: title.split("\n")[0],
			x: Number(g.getAttribute("data-x")),
			w: Number(g.getAttribute("data-w")),
			y: Number(g.querySelector("rect").getAttribute("y"))
		};
	}

	/* The name, cut so that it fits into a frame of that many pixels. */
	function fit(name, width) {
		var room = Math.floor((width - 2 * PADDING) / CHAR_WIDTH);
		var chars = Array.from(name);

		if (room < SMALLEST_TEXT)
			return "";
		return chars.length <= room ? name : chars.slice(0, room - 2).join("") + "..";
	}

	function place(frame, left, width) {
		var label = fit(frame.name, width);

		frame.rect.setAttribute("x", left.toFixed(2));
		frame.rect.setAttribute("width", width.toFixed(2));
		if (!frame.text && label) {
			frame.text = document.createElementNS("http://www.w3.org/2000/svg", "text");
			frame.text.setAttribute("y", frame.y + 11.5);
			frame.g.appendChild(frame.text);
		}
		if (frame.text) {
			frame.text.setAttribute("x", (left + PADDING).toFixed(2));
			frame.text.textContent = label;
		}
	}

	/* Shows [target.x, target.x + target.w) over the whole width: what stands under the target in
	 * full width, what is not above or under it not at all. */
	function zoom(target) {
		var scale = layout.width / target.w, end = target.x + target.w;

		frames.forEach(function (frame) {
			var under = frame.y > target.y && frame.x <= target.x && frame.x + frame.w >= end;
			var above = frame.y <= target.y && frame.x >= target.x && frame.x + frame.w <= end;

			frame.g.classList.toggle("below", under);
			frame.g.classList.toggle("hidden", !under && !above);
			if (under)
				place(frame, layout.left, layout.width);
			else if (above)
				place(frame, layout.left + (frame.x - target.x) * scale, frame.w * scale);
		});
		element("reset").classList.toggle("hidden", target.w === layout.total);
	}

	function reset() {
		zoom({x: 0, w: layout.total, y: Infinity});
	}

	/* The value of all matching frames; a match above another match is a part of it. */
	function matchedTotal(matches) {
		var sum = 0, end = 0;

		matches.sort(function (a, b) {
			return a.x - b.x || b.w - a.w;
		});
		matches.forEach(function (frame) {
			if (frame.x + frame.w <= end)
				return;
			sum += frame.x + frame.w - Math.max(end, frame.x);
			end = frame.x + frame.w;
		});
		return sum;
	}

	function showMatches() {
		var regex = pattern === null ? null : new RegExp(pattern, ignoreCase ? "i" : "");
		var matches = frames.filter(function (frame) {
			var hit = regex !== null && regex.test(frame.name);

			frame.g.classList.toggle("hit", hit);
			return hit;
		});
		var sum = matchedTotal(matches);

		element("search").textContent = pattern === null ? "Search" : "Reset search";
		element("matched").textContent = pattern === null ? "" :
			"Matched " + (100 * sum / layout.total).toFixed(2) + "% (" +
			sum.toLocaleString("en") + " " + layout.unit + ")";
	}

	function search() {
		var answer = window.prompt("Search for (regular expression" +
			(ignoreCase ? ", case ignored" : "") + "):", pattern || "");

		if (answer === null)
			return;
		try {
			new RegExp(answer);
		} catch (e) {
			window.alert("Not a regular expression: " + answer);
			return;
		}
		pattern = answer || null;
		showMatches();
	}

	function toggleSearch() {
		if (pattern === null) {
			search();
		} else {
			pattern = null;
			showMatches();
		}
	}

	function toggleCase() {
		ignoreCase = !ignoreCase;
		element("case").classList.toggle("active", ignoreCase);
		showMatches();
	}

	function onKey(event) {
		var control = event.ctrlKey || event.metaKey;

		if (event.key === "F3" || (control && event.key === "f"))
			search();
		else if (control && event.key === "i")
			toggleCase();
		else if (event.key === "Escape")
			reset();
		else
			return;
		event.preventDefault();
	}

	function listenTo(frame) {
		frame.g.addEventListener("click", function () {
			zoom(frame);
		});
		frame.g.addEventListener("mouseover", function () {
			element("details").textContent = frame.title.replace(/\n/g, "  |  ");
		});
		frame.g.addEventListener("mouseout", function () {
			element("details").textContent = "";
		});
	}

	function start() {
		svg = document.documentElement;
		layout = {
			total: Number(svg.getAttribute("data-total")),
			left: Number(svg.getAttribute("data-left")),
			width: Number(svg.getAttribute("data-width")),
			unit: svg.getAttribute("data-unit")
		};
		frames = Array.from(document.querySelectorAll(".frame"), readFrame);
		frames.forEach(listenTo);
		element("search").classList.remove("hidden");
		element("case").classList.remove("hidden");
		element("search").addEventListener("click", toggleSearch);
		element("case").addEventListener("click", toggleCase);
		element("reset").addEventListener("click", reset);
		window.addEventListener("keydown", onKey);
	}

	window.addEventListener("load", start);
})();
