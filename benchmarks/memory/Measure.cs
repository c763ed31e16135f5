using System.Diagnostics;
using System.Globalization;
using Hypervisor.Engine.Native.Timing;

namespace Hypervisor.Benchmarks.Memory;

/// <summary>Times a body over pages and prints a line of a table.</summary>
internal static class Measure
{
    private const int Rounds = 7;

    // Long enough for the runtime to compile what it measures a second time.
    private static readonly TimeSpan ShortestTime = TimeSpan.FromSeconds(0.6);

    public static void Header() => Console.WriteLine("""
        | what | pages/s | ns/page | GB/s | beside |
        |---|---:|---:|---:|---|
        """);

    /// <summary>Runs the body several times, and takes the best: what else the machine does only ever makes it slower.</summary>
    /// <returns>Pages a second.</returns>
    public static double Best(int pages, Action body, Action? between = null)
    {
        double best = 0;
        long begin = Stopwatch.GetTimestamp();
        for (int round = 0; round < Rounds || Stopwatch.GetElapsedTime(begin) < ShortestTime; round++)
        {
            double start = Seconds();
            body();
            best = Math.Max(best, pages / (Seconds() - start));
            between?.Invoke();
        }

        return best;
    }

    // Processor time where it is to be had: other programs on the machine count less then.
    private static double Seconds() => ThreadTime.Of(ThreadTime.CurrentThread) is > 0 and var nanoseconds
        ? nanoseconds / 1e9
        : Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;

    /// <summary>Prints a line.</summary>
    public static double Line(string what, double pagesPerSecond, string beside = "")
    {
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"| {what} | {pagesPerSecond:N0} | {1e9 / pagesPerSecond:N0} | {pagesPerSecond * 4096 / 1e9:N2} | {beside} |"));
        return pagesPerSecond;
    }

    /// <summary>How fast against something else.</summary>
    public static string Against(double pagesPerSecond, double other, string what) =>
        string.Create(CultureInfo.InvariantCulture, $"{pagesPerSecond / other:0.00} of {what}");
}
