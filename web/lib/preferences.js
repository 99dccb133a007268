/** How songs are played, remembered by the browser: volume from 0 to 1, muted, and speed. */

export const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];
const KEY = "acestep_xl.player";
const VALID = {
  volume: (value) => typeof value === "number" && value >= 0 && value <= 1,
  muted: (value) => typeof value === "boolean",
  speed: (value) => SPEEDS.includes(value),
};

const values = { volume: 1, muted: false, speed: 1, ...stored() };
const followers = new Set(); // weak references, since players come and go with their nodes

/** The values as they are now. */
export function preferences() {
  return { ...values };
}

/** Change values, for all players of the page. */
export function prefer(changes) {
  Object.assign(values, valid(changes));
  try {
    localStorage.setItem(KEY, JSON.stringify(values));
  } catch {
    // A browser that stores nothing forgets them with the page.
  }
  for (const reference of followers) {
    const follower = reference.deref();
    if (follower) follower.applyPreferences();
    else followers.delete(reference);
  }
}

/** Call an object's `applyPreferences` after every change, for as long as the object exists. */
export function follow(follower) {
  followers.add(new WeakRef(follower));
}

function stored() {
  try {
    return valid(JSON.parse(localStorage.getItem(KEY)) ?? {});
  } catch {
    return {};
  }
}

function valid(changes) {
  return Object.fromEntries(Object.entries(changes).filter(([name, value]) => VALID[name]?.(value)));
}
