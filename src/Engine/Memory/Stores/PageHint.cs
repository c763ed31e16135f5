namespace Hypervisor.Engine.Memory.Stores;

/// <summary>A page that was seen with some content and is not shared, a candidate for the second page with that content.</summary>
/// <param name="Machine">The machine, by a number of 0 to 2^24 - 2 that the caller does not give to another.</param>
/// <param name="Page">Guest-physical page number, below 2^40.</param>
internal readonly record struct PageHint(int Machine, long Page);
