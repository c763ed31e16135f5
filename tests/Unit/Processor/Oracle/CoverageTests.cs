using System.Globalization;
using System.Text;
using Hypervisor.Engine.Processor;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>
/// The table of instruction forms in docs/processor.md. It depends on the processor and on the generator of cases alone, not on the host.
/// HYPERVISOR_UPDATE_DOCS=1 writes it.
/// </summary>
public sealed class CoverageTests
{
    private const string Begin = "<!-- instruction coverage: generated -->", End = "<!-- end of instruction coverage -->";
    private const int Attempts = 60;

    private static readonly (string Name, CpuidFeature[] Features)[] Families =
    [
        ("FMA3", [CpuidFeature.FMA]),
        ("F16C", [CpuidFeature.F16C]),
        ("AES-NI, PCLMULQDQ", [CpuidFeature.AES, CpuidFeature.PCLMULQDQ]),
        ("AVX2", [CpuidFeature.AVX2]),
        ("AVX", [CpuidFeature.AVX]),
        ("SHA", [CpuidFeature.SHA]),
        ("BMI1, BMI2, LZCNT, POPCNT", [CpuidFeature.BMI1, CpuidFeature.BMI2, CpuidFeature.LZCNT, CpuidFeature.POPCNT]),
        ("MOVBE, ADX, CMPXCHG16B", [CpuidFeature.MOVBE, CpuidFeature.ADX, CpuidFeature.CMPXCHG16B, CpuidFeature.CX8]),
        ("SSE4.1, SSE4.2", [CpuidFeature.SSE4_1, CpuidFeature.SSE4_2]),
        ("SSE3, SSSE3", [CpuidFeature.SSE3, CpuidFeature.SSSE3]),
        ("SSE2", [CpuidFeature.SSE2]),
        ("SSE", [CpuidFeature.SSE]),
        ("MMX", [CpuidFeature.MMX]),
        ("x87", [CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387]),
        ("FXSAVE, XSAVE", [CpuidFeature.FXSR, CpuidFeature.XSAVE, CpuidFeature.XSAVEOPT, CpuidFeature.XSAVEC, CpuidFeature.XSAVES]),
        ("no-operations, cache control", [CpuidFeature.MULTIBYTENOP, CpuidFeature.PAUSE, CpuidFeature.CLFSH, CpuidFeature.CLFLUSHOPT,
            CpuidFeature.CLWB, CpuidFeature.PREFETCHW, CpuidFeature.PREFETCHWT1, CpuidFeature.PREFETCHITI, CpuidFeature.CLDEMOTE,
            CpuidFeature.CET_IBT]),
        ("8086 to 486, 64-bit, CMOV", [CpuidFeature.INTEL8086, CpuidFeature.INTEL8086_ONLY, CpuidFeature.INTEL186, CpuidFeature.INTEL286,
            CpuidFeature.INTEL386, CpuidFeature.INTEL486, CpuidFeature.X64, CpuidFeature.CMOV]),
    ];

    [Fact]
    public void Every_known_form_is_compared_with_the_host_or_has_a_reason_why_not()
    {
        var strays = KnownForms().Where(code => !IsCompared(code) && InstructionSets.ReasonAgainst(code) == null);
        Assert.Equal([], strays.Select(static code => code.ToString()));
    }

    [Fact]
    public void The_table_in_the_documentation_is_up_to_date()
    {
        string path = Path.Combine(FindRoot(), "docs", "processor.md");
        string text = File.ReadAllText(path);
        int begin = text.IndexOf(Begin, StringComparison.Ordinal);
        int end = text.IndexOf(End, StringComparison.Ordinal);
        Assert.True(begin >= 0 && end > begin, "docs/processor.md has lost the marks of its table.");
        string expected = text[..begin] + Begin + "\n" + MakeTable() + text[end..];
        if (Environment.GetEnvironmentVariable("HYPERVISOR_UPDATE_DOCS") == "1")
        {
            File.WriteAllText(path, expected);
        }

        Assert.True(expected == File.ReadAllText(path), "The forms have changed: run this test with HYPERVISOR_UPDATE_DOCS=1 and commit docs/processor.md.");
    }

    private static IEnumerable<Code> KnownForms() =>
        Enum.GetValues<Code>().Where(static code => code != Code.INVALID && InstructionTable.IsKnown(code));

    // The generator makes a case of it, in one of a few attempts.
    private static bool IsCompared(Code code)
    {
        if (!InstructionSets.Comparable.Contains(code))
        {
            return false;
        }

        if (CaseGenerator.ImageInstructions.Contains(code) || CaseGenerator.TransferInstructions.Contains(code))
        {
            return true;
        }

        for (int seed = 0; seed < Attempts; seed++)
        {
            if (new CaseGenerator([code], seed).CanMake(code))
            {
                return true;
            }
        }

        return false;
    }

    private static string MakeTable()
    {
        var rows = Families.Select(static family => family.Name).Append("system, time, random numbers").Reverse()
            .ToDictionary(static name => name, static _ => new List<Code>());
        foreach (var code in KnownForms())
        {
            rows[FamilyOf(code)].Add(code);
        }

        var table = new StringBuilder();
        table.Append("| instructions | forms known | compared | not compared with the host, and why |\n|---|---|---|---|\n");
        int known = 0;
        int compared = 0;
        foreach (var (name, codes) in rows)
        {
            var left = codes.Where(static code => !IsCompared(code)).ToList();
            var reasons = left.GroupBy(static code => InstructionSets.ReasonAgainst(code) ?? "no case").OrderByDescending(static group => group.Count())
                .ThenBy(static group => group.Key, StringComparer.Ordinal)
                .Select(static group => string.Create(CultureInfo.InvariantCulture, $"{group.Count()} {group.Key}"));
            table.Append(CultureInfo.InvariantCulture, $"| {name} | {codes.Count} | {codes.Count - left.Count} | {string.Join("; ", reasons)} |\n");
            known += codes.Count;
            compared += codes.Count - left.Count;
        }

        table.Append(CultureInfo.InvariantCulture, $"| all | {known} | {compared} | |\n");
        return table.ToString();
    }

    private static string FamilyOf(Code code)
    {
        var features = code.CpuidFeatures();
        var family = Array.Find(Families, family => family.Features.Any(features.Contains));
        bool system = code.ToOpCode().IsPrivileged && !code.CpuidFeatures().Contains(CpuidFeature.XSAVES);
        return family.Name == null || system ? "system, time, random numbers" : family.Name;
    }

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder != null && !File.Exists(Path.Combine(folder.FullName, "Hypervisor.slnx")))
        {
            folder = folder.Parent;
        }

        Assert.NotNull(folder);
        return folder.FullName;
    }
}
