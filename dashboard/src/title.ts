/** Name the tab: it tells the state of a job from the background. */
export function setTitle(text: string): void {
  document.title = text ? `${text} · Descend` : 'Descend'
}
